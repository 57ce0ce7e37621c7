/** One row of the list: the head of a section, or a card in its place. It renders only. */
import React from 'react';

import { Card, lineId, nameId } from './card';
import type { ITools } from './card';
import { Glyph } from '../glyphs';
import type { ICardRow, IHeaderRow, IResourceRow, Row, Section } from './listing';
import { awaited, said, sectionTitle } from '../words';

export interface IListProps {
  rows: readonly Row[];
  tools: ITools;
  fold(section: Section, folded: boolean): void;
  clearFinished(): void;
  /** The task that the person is at. */
  focus: { uid: string; wanted: boolean };
  onFocus(uid: string): void;
}

/** The name of the list that a row stands in. */
export function listName(row: ICardRow | IResourceRow, { tools }: IListProps): string {
  return row.list.startsWith('notebook ') ? row.notebook.path : sectionTitle(row.list as Section, tools.trans);
}

interface IHeaderProps {
  row: IHeaderRow;
  props: IListProps;
  reached: boolean;
}

export function HeaderItem({ row, props, reached }: IHeaderProps): JSX.Element {
  const { trans } = props.tools;
  if (row.section === 'notebook') {
    return (
      <div className="jp-Orchestra-path" role="heading" aria-level={3} title={row.path}>
        {row.path}
      </div>
    );
  }
  const section = row.section;
  return (
    <div className="jp-Orchestra-section" data-section={section}>
      <div role="heading" aria-level={2}>
        <button
          type="button"
          data-key={row.key}
          aria-expanded={!row.folded}
          tabIndex={reached ? 0 : -1}
          onClick={() => props.fold(section, !row.folded)}
        >
          <Glyph name="fold" />
          {sectionTitle(section, trans)} <span className="jp-Orchestra-count">{row.count}</span>
          {section === 'others' && row.needy > 0 && (
            <span className="jp-Orchestra-needy">
              {trans._n('%1 needs you', '%1 need you', row.needy)}
            </span>
          )}
        </button>
      </div>
      {section === 'finished' && (
        <button type="button" className="jp-Orchestra-quiet" onClick={props.clearFinished}>
          {trans.__('Clear finished')}
        </button>
      )}
    </div>
  );
}

interface IItemProps {
  row: ICardRow;
  props: IListProps;
  style: React.CSSProperties;
  reached: boolean;
}

export function CardItem({ row, props, style, reached }: IItemProps): JSX.Element {
  const { tools } = props;
  const { card } = row;
  const live = row.notebook.standing === 'ready';
  return (
    <div
      className="jp-Orchestra-item"
      role="listitem"
      style={style}
      data-key={row.key}
      data-task={card.name}
      data-uid={card.uid}
      data-state={card.state}
      aria-labelledby={nameId(card.uid)}
      aria-describedby={lineId(card.uid)}
      aria-posinset={row.position}
      aria-setsize={row.size}
      tabIndex={reached ? 0 : -1}
    >
      <Card
        tools={tools}
        notebook={row.notebook}
        card={card}
        text={said(card) || awaited(card, row.notebook, tools.trans)}
        lack={card.lacks === '' ? null : row.notebook.lackOf(card.uid)}
        pending={tools.actions.pendingOf(card.uid)}
        refusal={tools.actions.refusalOf(card)}
        live={live}
        reached={reached}
        disclosed={card.question !== null && tools.disclosures.isOpen(card.question)}
        answerable={card.question !== null && live && !tools.actions.rests}
      />
    </div>
  );
}
