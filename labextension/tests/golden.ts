/** Reads the messages that pytest reads too. */
import { readFileSync } from 'fs';
import { join } from 'path';

export const GOLDEN = join(__dirname, '..', '..', 'tests', 'bridge', 'golden');

export function golden<T>(name: 'to_page' | 'to_kernel' | 'sentences'): T[] {
  return JSON.parse(readFileSync(join(GOLDEN, `${name}.json`), 'utf8'));
}
