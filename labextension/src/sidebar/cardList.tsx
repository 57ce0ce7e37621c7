/** The list of rows: only those in view exist. It knows rows and the keyboard, not what a task is.
 *
 * Up, Down, Home, End and the page keys move between rows, Enter opens a task, Tab goes to the buttons of the one that
 * has the focus. No single key ends a task: work is not undone by a slip; Cancel is a button, and a command to bind.
 */
import React, { useMemo, useRef } from 'react';

import { cardHeight } from './card';
import type { ITools } from './card';
import { useAnchor, useKeptFocus, useScale, useView } from './listHooks';
import { CardItem, HeaderItem, listName } from './listItems';
import type { IListProps } from './listItems';
import type { ICardRow, IResourceRow, Row } from './listing';
import { ResourceItem, resourceHeight } from './resourceItem';
import { target, useRoving } from './roving';
import { offsetsOf, windowOf } from './windowing';

const HEADER = 28;
const SPARE = 6; // rows kept beyond the edges, so that a quick scroll shows no gap

function heightOf(row: Row, tools: ITools): number {
  switch (row.kind) {
    case 'header':
      return HEADER;
    case 'resource':
      return resourceHeight(row.resource);
    default:
      return cardHeight(row.card, tools.actions.refusalOf(row.card), tools);
  }
}

/** The rows to draw, those of one list together. */
function inLists(rows: readonly Row[], shown: readonly number[]): { key: string; list: string; indices: number[] }[] {
  const lists: { key: string; list: string; indices: number[] }[] = [];
  for (const index of shown) {
    const row = rows[index]!;
    const list = row.kind === 'header' ? '' : row.list;
    const last = lists[lists.length - 1];
    if (list !== '' && last !== undefined && last.list === list) {
      last.indices.push(index);
    } else {
      lists.push({ key: list === '' ? row.key : list, list, indices: [index] });
    }
  }
  return lists;
}

/** The indices of the rows to draw: those in view, and the one that Tab reaches wherever it is. */
function indicesOf({ first, end }: { first: number; end: number }, reached: number): number[] {
  const indices = Array.from({ length: end - first }, (_, index) => first + index);
  if (reached >= 0 && reached < first) {
    return [reached, ...indices];
  }
  return reached >= end ? [...indices, reached] : indices;
}

export function CardList(props: IListProps): JSX.Element {
  const { rows, tools, focus } = props;
  const { trans } = tools;
  const scroller = useRef<HTMLDivElement>(null);
  const probe = useRef<HTMLDivElement>(null);
  const scale = useScale(probe);
  const view = useView(scroller);
  const heights = rows.map(row => Math.round(heightOf(row, tools) * scale));
  // The same heights give the same offsets, so that what depends on them is not done anew with each change.
  const offsets = useMemo(() => offsetsOf(heights), [heights.join()]);
  useAnchor(scroller, rows, offsets);
  const keptFocus = useKeptFocus(scroller);
  const roving = useRoving(scroller, rows, offsets, view.onScroll, focus);
  const inView = windowOf(offsets, view.top, view.height, SPARE);

  const onKeyDown = (event: React.KeyboardEvent): void => {
    const from = event.target as HTMLElement;
    const at = from.closest<HTMLElement>('[data-key]')?.dataset['key'];
    if (at === undefined || from.tagName === 'PRE' || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) {
      return;
    }
    const index = rows.findIndex(row => row.key === at);
    const row = rows[index];
    if (row?.kind === 'card' && event.key === 'Enter' && from.dataset['key'] === at) {
      tools.open(row.card.uid);
    } else {
      const page = Math.max(1, inView.end - inView.first - 2 * SPARE);
      const next = index < 0 ? null : target(event.key, index, rows, page);
      if (next === null) {
        return;
      }
      roving.goTo(next);
    }
    event.preventDefault();
    event.stopPropagation();
  };

  const drawRow = (index: number): JSX.Element => {
    const row = rows[index]!;
    const style = { top: offsets[index], height: heights[index] };
    const reached = index === roving.index;
    if (row.kind === 'card') {
      return <CardItem key={row.key} row={row} props={props} style={style} reached={reached} />;
    }
    if (row.kind === 'resource') {
      return <ResourceItem key={row.key} row={row} tools={tools} style={style} reached={reached} />;
    }
    return (
      <div key={row.key} className="jp-Orchestra-item jp-mod-header" style={style}>
        <HeaderItem row={row} props={props} reached={reached} />
      </div>
    );
  };

  return (
    <div
      className="jp-Orchestra-list"
      ref={scroller}
      role="group"
      aria-label={trans.__('Tasks')}
      aria-description={trans.__('Arrow keys move between tasks, Enter opens one, Tab goes to its buttons.')}
      tabIndex={-1}
      onScroll={view.onScroll}
      onKeyDown={onKeyDown}
      onFocus={event => {
        keptFocus.onFocus(event);
        const key = event.target.closest<HTMLElement>('[data-key]')?.dataset['key'] ?? '';
        if (key !== '') {
          roving.setKey(key);
          props.onFocus(key.startsWith('#') ? '' : key);
        }
      }}
      onBlur={keptFocus.onBlur}
    >
      <div className="jp-Orchestra-probe" ref={probe} />
      <div className="jp-Orchestra-rows" style={{ height: offsets[rows.length] }}>
        {inLists(rows, indicesOf(inView, roving.index)).map(({ key, list, indices }) =>
          list === '' ? (
            drawRow(indices[0]!)
          ) : (
            <div key={key} role="list" aria-label={listName(rows[indices[0]!] as ICardRow | IResourceRow, props)}>
              {indices.map(drawRow)}
            </div>
          )
        )}
      </div>
    </div>
  );
}
