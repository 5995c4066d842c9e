// Loaded before the Auth and Storage process: under Node 20 a file's web stream gives ArrayBuffers,
// which that process cannot send, so that every download would be empty. Later Nodes give bytes.

import { open } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const file = await open(fileURLToPath(import.meta.url));
const FileHandle = Object.getPrototypeOf(file);
await file.close();

const { readableWebStream } = FileHandle;
FileHandle.readableWebStream = function (options) {
  return readableWebStream.call(this, { type: "bytes", ...options });
};
