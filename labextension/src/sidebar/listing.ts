/** The rows of the sidebar, in order: what needs the person first. It decides what is listed, not how it looks. */
import type { Group, NotebookModel } from '../model';
import { GROUPS, groupOf, hasEnded } from '../model';
import type { ICard, IResourceView } from '../protocol';

/** What can be folded; `notebook` is a heading inside `others`, and stays open. */
export type Section = Group | 'resources' | 'others';
/** Whether a section is folded; where the person has not said so, `byDefault` counts. */
export type Folded = (section: Section, byDefault?: boolean) => boolean;

export interface IHeaderRow {
  kind: 'header';
  key: string;
  section: Section | 'notebook';
  /** The path of the notebook, for `notebook` alone. */
  path: string;
  count: number;
  /** How many of them need the person. */
  needy: number;
  folded: boolean;
}

export interface ICardRow {
  kind: 'card';
  key: string;
  /** The rows of one list, for a screen reader. */
  list: string;
  notebook: NotebookModel;
  card: ICard;
  /** Counted from 1 in its list of `size`. */
  position: number;
  size: number;
}

/** What is leased or waited for: one resource with its holders and its queue. */
export interface IResourceRow {
  kind: 'resource';
  key: string;
  list: 'resources';
  notebook: NotebookModel;
  resource: IResourceView;
  position: number;
  size: number;
}

export type Row = IHeaderRow | ICardRow | IResourceRow;

function contains(text: string, query: string): boolean {
  const found = text.toLowerCase();
  return query
    .toLowerCase()
    .split(/\s+/)
    .every(word => found.includes(word));
}

/** Whether a task is found by what was typed: every word in its name, worker or state. */
export function matches(card: ICard, query: string): boolean {
  return contains(`${card.name} ${card.worker} ${card.state}`, query);
}

function names({ name, holders, waiting }: IResourceView): string {
  return [name, ...holders.map(one => one.name), ...waiting.map(one => one.name)].join(' ');
}

/** Tasks under way in order of dispatch, ended ones with the latest first. */
function compare(a: ICard, b: ICard): number {
  if (hasEnded(a) && hasEnded(b)) {
    return (b.ended_at ?? 0) - (a.ended_at ?? 0) || b.order - a.order;
  }
  return a.order - b.order;
}

function grouped(cards: Iterable<ICard>): Record<Group, ICard[]> {
  const groups: Record<Group, ICard[]> = { 'needs-you': [], running: [], waiting: [], finished: [] };
  for (const card of cards) {
    groups[groupOf(card)].push(card);
  }
  for (const group of GROUPS) {
    groups[group].sort(compare);
  }
  return groups;
}

function cardRows(notebook: NotebookModel, cards: readonly ICard[], list: string): ICardRow[] {
  return cards.map((card, index) => ({
    kind: 'card',
    key: card.uid,
    list,
    notebook,
    card,
    position: index + 1,
    size: cards.length
  }));
}

/** What is leased or waited for; folded by default while there is but a wait for slots. */
function resourceRows(notebook: NotebookModel, wanted: string, folded: Folded): Row[] {
  const { resources, more } = notebook.leases;
  const found = wanted === '' ? resources : resources.filter(resource => contains(names(resource), wanted));
  if (found.length === 0) {
    return [];
  }
  const isFolded = folded('resources', resources.every(resource => resource.slots));
  const count = found.length + (wanted === '' ? more : 0);
  const header = { section: 'resources' as const, path: '', count, needy: 0, folded: isFolded };
  const rows = found.map((resource, index) => ({
    ...{ kind: 'resource' as const, key: `#resource ${resource.name}`, list: 'resources' as const },
    ...{ notebook, resource, position: index + 1, size: found.length }
  }));
  return [{ kind: 'header', key: '#resources', ...header }, ...(isFolded ? [] : rows)];
}

function currentRows(notebook: NotebookModel, cards: ICard[], wanted: string, folded: Folded): Row[] {
  const rows: Row[] = [];
  const groups = grouped(cards);
  for (const group of GROUPS) {
    const found = groups[group];
    if (group === 'finished') {
      rows.push(...resourceRows(notebook, wanted, folded));
    }
    if (found.length === 0) {
      continue;
    }
    const needy = group === 'needs-you' ? found.length : 0;
    const header = { section: group, path: '', count: found.length, needy, folded: folded(group) };
    rows.push({ kind: 'header', key: `#${group}`, ...header });
    if (!header.folded) {
      rows.push(...cardRows(notebook, found, group));
    }
  }
  return rows;
}

function otherRows(found: readonly [NotebookModel, ICard[]][], folded: boolean): Row[] {
  const count = found.reduce((sum, [, cards]) => sum + cards.length, 0);
  if (count === 0) {
    return [];
  }
  const isNeedy = (card: ICard): boolean => card.needs_you !== '';
  const needy = found.reduce((sum, [, cards]) => sum + cards.filter(isNeedy).length, 0);
  const rows: Row[] = [{ kind: 'header', key: '#others', section: 'others', path: '', count, needy, folded }];
  if (folded) {
    return rows;
  }
  for (const [notebook, cards] of found) {
    const list = `notebook ${notebook.id}`;
    const header = { section: 'notebook' as const, path: notebook.path, count: cards.length, folded: false };
    rows.push({ kind: 'header', key: `#${list}`, ...header, needy: cards.filter(isNeedy).length });
    const groups = grouped(cards);
    rows.push(...cardRows(notebook, GROUPS.flatMap(group => groups[group]), list));
  }
  return rows;
}

/** All rows: what is leased stands before what is over. A search looks into folds as well; a task of two views of one
 * kernel is listed once. */
export function listRows(
  notebooks: readonly NotebookModel[],
  current: NotebookModel | null,
  query: string,
  folded: Folded
): Row[] {
  const wanted = query.trim();
  const isFolded: Folded = (section, byDefault) => wanted === '' && folded(section, byDefault);
  const seen = new Set<string>();
  const take = (notebook: NotebookModel): ICard[] => {
    const fresh = [...notebook.cards.values()].filter(card => !seen.has(card.uid));
    fresh.forEach(card => seen.add(card.uid));
    return wanted === '' ? fresh : fresh.filter(card => matches(card, wanted));
  };
  const rows = current === null ? [] : currentRows(current, take(current), wanted, isFolded);
  const others: [NotebookModel, ICard[]][] = notebooks
    .filter(notebook => notebook !== current)
    .sort((a, b) => a.path.localeCompare(b.path))
    .map((notebook): [NotebookModel, ICard[]] => [notebook, take(notebook)])
    .filter(([, cards]) => cards.length > 0);
  return [...rows, ...otherRows(others, isFolded('others'))];
}
