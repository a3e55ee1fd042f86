/** What `npm run soak -- --docs` writes, as far as somebody reads it. */
export interface Soak {
  readonly minutes: number;
  readonly sim: { readonly failed: readonly unknown[] };
  readonly chaos: { readonly failed: number };
}

export function soakTable(soak: Soak): string;
