"""What tests of several tiers share: keys and tokens, a stand-in upstream, learners, courses."""
