/**
 * Disks of their own for members: ext4 in a file, mounted over a loop device, so that a disk can be full or lose its
 * power without anything else of the machine taking part. Whether this machine can do that is tried, not guessed, and
 * what it cannot do is said with the reason. Unmounts only what it mounted.
 */
import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Ability {
  /** Undefined: it can. */
  readonly missing: string | undefined;
}

export interface DiskAbilities {
  /** Mount a file system of its own: for full disks. */
  readonly mount: Ability;
  /** Stop one in the middle of everything: for power cuts. */
  readonly cut: Ability;
}

const bytes = 256 * 1024 * 1024;

/** Tries both on a small one. */
export function probeDisks(): DiskAbilities {
  const no = (missing: string): DiskAbilities => ({ mount: { missing }, cut: { missing } });
  if (process.platform !== "linux")
    return no(`loop mounts are tried on Linux only, this is ${process.platform}`);
  if (process.getuid?.() !== 0) return no("not root, and a mount needs root");
  const place = mkdtempSync(join(tmpdir(), "holdfast-disk-"));
  let disk: Disk | undefined;
  try {
    disk = Disk.mount(join(place, "probe"), 16 * 1024 * 1024);
    disk.cutPower();
    disk.restorePower();
    return { mount: { missing: undefined }, cut: { missing: undefined } };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return disk === undefined ? no(why) : { mount: { missing: undefined }, cut: { missing: why } };
  } finally {
    disk?.unmount();
    rmSync(place, { recursive: true, force: true });
  }
}

export class Disk {
  readonly path: string;
  readonly #image: string;
  #isMounted = false;

  private constructor(path: string, image: string) {
    this.path = path;
    this.#image = image;
  }

  /** Throws with the reason when this machine cannot. */
  static mount(path: string, size = bytes): Disk {
    const disk = new Disk(path, `${path}.img`);
    mkdirSync(path);
    closeSync(openSync(disk.#image, "w"));
    truncateSync(disk.#image, size);
    // No blocks reserved for root: a full disk must be full for everybody.
    run("mkfs.ext4", ["-q", "-F", "-m", "0", disk.#image]);
    disk.#mount();
    return disk;
  }

  #mount(): void {
    run("mount", ["-o", "loop", this.#image, this.path]);
    this.#isMounted = true;
  }

  /** Writes until nothing more fits. */
  fill(): void {
    const file = openSync(join(this.path, "ballast"), "w");
    try {
      // Down to single bytes: the last free block counts too.
      for (let size = 1024 * 1024; size >= 1; ) {
        try {
          writeSync(file, Buffer.alloc(size, 0x5a));
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
          size = Math.floor(size / 4);
        }
      }
    } finally {
      closeSync(file);
    }
  }

  free(): void {
    rmSync(join(this.path, "ballast"), { force: true });
  }

  /** From here on nothing reaches the disk, and what was not synced never will. */
  cutPower(): void {
    if (cutters.some((cut) => cut(this.path))) return;
    throw new Error("neither xfs_io nor perl nor python3 can stop a file system here");
  }

  /** Everybody who used it must be gone. */
  restorePower(): void {
    this.#unmountNow();
    this.#mount();
  }

  unmount(): void {
    if (this.#isMounted) this.#unmountNow();
    rmSync(this.#image, { force: true });
  }

  #unmountNow(): void {
    run("umount", [this.path]);
    this.#isMounted = false;
  }
}

/** A disk that a run left mounted which is no more. Throws while it is in use. */
export function unmountLeft(path: string): void {
  run("umount", [path]);
}

/** FS_IOC_SHUTDOWN with "no log flush" (2): what the journal has not written yet is lost, as in a power cut. */
const shutdownRequest = 0x8004587d;
const cutters: readonly ((path: string) => boolean)[] = [
  (path) => succeeds("xfs_io", ["-x", "-c", "shutdown", path]),
  (path) =>
    succeeds("perl", [
      "-e",
      'sysopen(F, $ARGV[0], 0) or exit 1; $how = pack("L", 2); ioctl(F, $ARGV[1], $how) or exit 1;',
      anyFileIn(path),
      String(shutdownRequest),
    ]),
  (path) =>
    succeeds("python3", [
      "-c",
      "import fcntl,os,struct,sys; fcntl.ioctl(os.open(sys.argv[1],0),int(sys.argv[2]),struct.pack('I',2))",
      anyFileIn(path),
      String(shutdownRequest),
    ]),
];

/** Perl opens no directories. */
function anyFileIn(path: string): string {
  const file = join(path, "handle");
  if (!existsSync(file)) closeSync(openSync(file, "w"));
  return file;
}

function succeeds(command: string, args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: "ignore" }).status === 0;
}

function run(command: string, args: readonly string[]): void {
  const { status, error, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (error !== undefined) throw new Error(`${command}: ${error.message}`);
  if (status !== 0) throw new Error(`${command} ended with ${status}: ${stderr.trim()}`);
}
