"""Certificates as PDF: `render(facts)` typesets one, by Typst, in a process of its own.

Importing this costs next to nothing: the typesetter starts with the first certificate.
"""

from shared.rendering.facts import CertificateFacts, Paper, RenderError
from shared.rendering.renderer import SHIPPED, render

__all__ = ["SHIPPED", "CertificateFacts", "Paper", "RenderError", "render"]
