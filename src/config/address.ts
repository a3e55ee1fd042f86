/**
 * `host:port` as it stands in the cluster file. Reads and judges addresses; resolves no names and opens nothing.
 */
import { isIP } from "node:net";
import type { HostPort } from "./types.ts";

/** Either the address or what would be right instead. */
export type AddressReading =
  | { readonly kind: "address"; readonly address: HostPort }
  | { readonly kind: "wrong"; readonly right: string };

const form = "write host:port, as 127.0.0.1:7400";

/** Hosts are IPv4, IPv6 in brackets, or DNS names; ports 1 … 65535. */
export function readAddress(text: string): AddressReading {
  const scheme = /^[a-z]+:\/\/([^/]*)/i.exec(text);
  if (scheme !== null) return wrong(`write ${scheme[1] === "" ? "host:port" : scheme[1]} without http://`);
  const match = /^(?:\[([^\]]*)\]|([^:]*)):([^:]*)$/.exec(text);
  if (match === null) {
    if (isIP(text) === 6) return wrong(`put an IPv6 address in brackets and quotes: "[${text}]:7400"`);
    return wrong(form);
  }
  const [, bracketed, bare, portText] = match;
  if (!/^\d{1,5}$/.test(portText ?? "")) return wrong(`${form}: the port is a number`);
  const port = Number(portText);
  if (port < 1 || port > 65_535) return wrong("the port must be between 1 and 65535");
  if (bracketed !== undefined) {
    if (isIP(bracketed) !== 6) return wrong(`${form}: brackets are for IPv6 addresses`);
    return { kind: "address", address: { host: bracketed, port } };
  }
  const host = bare ?? "";
  if (isIP(host) !== 4 && !isDnsName(host)) return wrong(form);
  return { kind: "address", address: { host, port } };
}

function wrong(right: string): AddressReading {
  return { kind: "wrong", right };
}

/** A last label of digits would be read as an odd form of IPv4. */
function isDnsName(host: string): boolean {
  const labels = host.split(".");
  const isLabel = (label: string) => /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/.test(label);
  return host.length <= 253 && labels.every(isLabel) && !/^\d+$/.test(labels.at(-1) ?? "");
}

/** True for addresses that only this machine reaches. Names other than `localhost` may point anywhere. */
export function isLoopback(host: string): boolean {
  const name = canonicalHost(host);
  if (name === "localhost" || name === "::1") return true;
  return (isIP(name) === 4 && name.startsWith("127.")) || /^::ffff:7f[0-9a-f]{2}:/.test(name);
}

/** True for `0.0.0.0` and `::`: something to bind, nothing that others could dial. */
export function isWildcard(host: string): boolean {
  const name = canonicalHost(host);
  return name === "0.0.0.0" || name === "::";
}

/** The address in one form, so that two spellings of it compare equal. */
export function canonicalAddress({ host, port }: HostPort): string {
  return `${canonicalHost(host)} ${port}`;
}

export function formatAddress({ host, port }: HostPort): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function canonicalHost(host: string): string {
  if (isIP(host) !== 6) return host.toLowerCase();
  return new URL(`http://[${host.replace(/%.*$/, "")}]`).hostname.slice(1, -1);
}
