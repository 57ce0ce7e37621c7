/** Reads the card that a cell's output holds. It knows that a notebook may hold anything. */
import { ENDED } from './model';
import type { ICardLine, State } from './protocol';

const STATES: readonly string[] = ['waiting', 'queued', 'running', 'paused', ...ENDED];

/** What a saved output says, as far as it can be believed. */
export function readLine(data: unknown): ICardLine {
  const saved = (typeof data === 'object' && data !== null ? data : {}) as Record<string, unknown>;
  const text = (key: string): string => (typeof saved[key] === 'string' ? (saved[key] as string) : '');
  const state = STATES.includes(text('state')) ? (text('state') as State) : 'lost';
  return { uid: text('uid'), name: text('name'), worker: text('worker'), state, line: text('line') };
}
