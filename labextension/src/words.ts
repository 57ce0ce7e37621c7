/** The words and figures that a person reads, from plain values. It knows no widget and holds nothing. */
import type { TranslationBundle } from '@jupyterlab/translation';

import type { Action } from './actions';
import type { Section } from './sidebar/listing';
import type { Group, NotebookModel } from './model';
import { hasEnded } from './model';
import type { ICard, IHolderView, ILack, IQuestion, IResourceView, State } from './protocol';

/** A state as the card says it; a word of its own while a cancel is under way. */
export function stateWord(card: Pick<ICard, 'state' | 'stopping'>, trans: TranslationBundle): string {
  if (card.stopping) {
    return trans.__('stopping');
  }
  const words: Record<State, string> = {
    waiting: trans.__('waiting'),
    queued: trans.__('queued'),
    running: trans.__('running'),
    paused: trans.__('paused'),
    done: trans.__('done'),
    failed: trans.__('failed'),
    cancelled: trans.__('cancelled'),
    lost: trans.__('lost')
  };
  return words[card.state];
}

/** What can be asked of a task, as buttons say it. */
export function actionWord(action: Action, trans: TranslationBundle): string {
  const words: Record<Action, string> = {
    pause: trans.__('Pause'),
    resume: trans.__('Resume'),
    cancel: trans.__('Cancel'),
    retry: trans.__('Retry'),
    forget: trans.__('Drop')
  };
  return words[action];
}

/** Who asks, and what for. */
export function asking({ action, proposal }: IQuestion, trans: TranslationBundle): string {
  return proposal ? trans.__('The master proposes: %1', action) : trans.__('It asks: %1', action);
}

/** What a task needs of the person; where buttons do it, without the magics that do it too. */
export function need(
  card: Pick<ICard, 'state' | 'needs_you'> & Partial<Pick<ICard, 'question'>>,
  trans: TranslationBundle
): string {
  if (card.question) {
    return asking(card.question, trans);
  }
  return card.state === 'lost' && card.needs_you !== '' ? trans.__('retry it or drop it') : card.needs_you;
}

/** The tasks that one waits for; empty when it waits for none of them, or no longer. */
export function awaited(card: ICard, notebook: NotebookModel, trans: TranslationBundle): string {
  const cards = card.state === 'waiting' && !card.stopping ? card.after.map(uid => notebook.cards.get(uid)) : [];
  const names = cards.filter(other => other !== undefined && !hasEnded(other)).map(other => other!.name);
  return names.length === 0 ? '' : trans.__('for %1', names.join(', '));
}

/** Who holds or waits, as a person knows them. */
export function holderName({ name }: Pick<IHolderView, 'name'>, trans: TranslationBundle): string {
  return name === '' ? trans.__('your own code') : name;
}

/** Why a task waits for leases, in the words in which the kernel says it. */
export function lackWords(lack: ILack, now: number, trans: TranslationBundle): string {
  const held = lack.holders.map(holder =>
    trans.__('%1 (for %2 s)', holderName(holder, trans), Math.max(0, now - holder.since).toFixed(0))
  );
  const more = lack.more > 0 ? trans.__(' and %1 more', lack.more) : '';
  const who = held.length > 0 ? held.join(', ') + more : lack.elsewhere;
  const line = who === '' ? trans.__('waits for %1', lack.missing) : trans.__('waits for %1, held by %2', lack.missing, who);
  return lack.ahead > 0 ? trans.__('%1; %2 ahead of it', line, lack.ahead) : line;
}

/** How much of a resource is in use. */
export function amount({ name, used, capacity, holders, more_holders }: IResourceView, trans: TranslationBundle): string {
  if (capacity === null) {
    return trans.__('%1 held', holders.length + more_holders);
  }
  if (name === 'mem') {
    const gibibytes = (bytes: number): string => (bytes / 2 ** 30).toFixed(1);
    return trans.__('%1 of %2 GiB', gibibytes(used), gibibytes(capacity));
  }
  const isElsewhere = holders.some(holder => holder.state === 'elsewhere');
  return isElsewhere
    ? trans.__('%1 of %2 in use here', used, capacity)
    : trans.__('%1 of %2 in use', used, capacity);
}

/** Since when somebody holds or waits, or what becomes of it. */
export function holding({ since, state }: IHolderView, now: number, trans: TranslationBundle): string {
  const long = duration(Math.max(0, now - (since ?? now)));
  switch (state) {
    case 'claiming':
      return trans.__('being claimed');
    case 'fencing':
      return trans.__('hangs, and is being ended');
    case 'elsewhere':
      return trans.__('elsewhere');
    case 'waiting':
      return trans.__('waits %1', long);
    default:
      return trans.__('for %1', long);
  }
}

/** What there is to say beside the state, without saying it again: why it is so, else the last line of the task. */
export function said(card: Pick<ICard, 'state' | 'stopping' | 'line' | 'reason'>): string {
  if (card.state === 'running' && !card.stopping) {
    return card.line;
  }
  const text = card.reason || card.line;
  return text.startsWith(`${card.state} `) ? text.slice(card.state.length + 1) : text;
}

/** What a person must know of a task in which nothing confines what a model wrote; empty for any other. */
export function exposure({ unsandboxed }: Pick<ICard, 'unsandboxed'>, trans: TranslationBundle): string {
  return unsandboxed === ''
    ? ''
    : trans.__('Nothing confines what the model writes here: it runs with all your rights (%1)', unsandboxed);
}

export function sectionTitle(section: Section, trans: TranslationBundle): string {
  const titles: Record<Section, string> = {
    'needs-you': trans.__('Needs you'),
    running: trans.__('Running'),
    waiting: trans.__('Waiting'),
    resources: trans.__('Resources'),
    finished: trans.__('Finished'),
    others: trans.__('Other notebooks')
  };
  return titles[section];
}

/** `7 s`, `1:42` or `2:03:10`. */
export function duration(seconds: number): string {
  const whole = Math.floor(seconds);
  if (whole < 60) {
    return `${whole} s`;
  }
  const two = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.floor(whole / 60);
  const hours = Math.floor(minutes / 60);
  return hours === 0 ? `${minutes}:${two(whole % 60)}` : `${hours}:${two(minutes % 60)}:${two(whole % 60)}`;
}

/** `940`, `12.4k` or `3.1M`. */
export function figure(value: number): string {
  const short = (scaled: number, unit: string): string => `${scaled.toFixed(scaled < 100 ? 1 : 0)}${unit}`;
  if (value < 1000) {
    return String(value);
  }
  return value < 999_950 ? short(value / 1000, 'k') : short(value / 1e6, 'M');
}

/** `$0.03`; a small cost is not said to be none. */
export function price(dollars: number): string {
  return dollars > 0 && dollars < 0.01 ? '<$0.01' : `$${dollars.toFixed(2)}`;
}

/** What a task is: worker, role, tier, model, and which attempt. */
export function facts(card: ICard, trans: TranslationBundle): string[] {
  const parts = [card.worker, card.role, card.tier, card.model].filter(part => part !== '');
  if (card.attempt > 1) {
    parts.push(trans.__('attempt %1', card.attempt));
  }
  return parts;
}

/** What a task has used, where that is known. */
export function usage(card: ICard, trans: TranslationBundle): string {
  const tokens = card.tokens === null ? '' : trans.__('%1 tokens', figure(card.tokens));
  const cost = card.cost === null ? '' : price(card.cost);
  return [tokens, cost].filter(part => part !== '').join(' · ');
}

/** `3 running · 1 needs you`; what waits is said when nothing runs. Empty when nothing is under way. */
export function summary(counts: Record<Group, number>, trans: TranslationBundle): string {
  const parts: string[] = [];
  if (counts.running > 0) {
    parts.push(trans.__('%1 running', counts.running));
  } else if (counts.waiting > 0) {
    parts.push(trans.__('%1 waiting', counts.waiting));
  }
  if (counts['needs-you'] > 0) {
    parts.push(trans._n('%1 needs you', '%1 need you', counts['needs-you']));
  }
  return parts.join(' · ');
}
