/**
 * The three ways in which this folder puts small files on disk so that a crash leaves the old or the new one, whole.
 * Synchronous: used at start and when founding, never while the node serves.
 */
import { closeSync, fsyncSync, openSync, renameSync, writeSync } from "node:fs";
import { dirname } from "node:path";

/** Replaces the file in one step: temporary file, fsync, rename, fsync of the directory. Throws the system's error. */
export function replaceFile(path: string, bytes: Uint8Array): void {
  const temporary = `${path}.tmp`;
  writeWhole(temporary, bytes);
  renameSync(temporary, path);
  syncDirectory(dirname(path));
}

/** Makes creations, renames and deletions in the directory durable. */
export function syncDirectory(path: string): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function writeWhole(path: string, bytes: Uint8Array): void {
  const file = openSync(path, "w", 0o600);
  try {
    let written = 0;
    while (written < bytes.length) written += writeSync(file, bytes, written);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
