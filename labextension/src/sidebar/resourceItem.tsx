/** One leased resource in the list: how much is in use, its holders, and its queue in order. It renders only. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { NotebookModel } from '../model';
import type { IHolderView, IResourceView } from '../protocol';
import { amount, holderName, holding } from '../words';
import type { ITools } from './card';
import { useBeat } from './elapsed';
import type { IResourceRow } from './listing';

/** Measures at the normal size of text, in pixels; the style sheet has the same ones. */
const HEAD = 24;
const LINE = 18;

export function resourceHeight({ holders, waiting, more_holders, more_waiting }: IResourceView): number {
  const lines = holders.length + waiting.length + Number(more_holders > 0) + Number(more_waiting > 0);
  return HEAD + LINE * lines + 6;
}

interface IResourceItemProps {
  row: IResourceRow;
  tools: ITools;
  style: React.CSSProperties;
  reached: boolean;
}

export function ResourceItem({ row, tools, style, reached }: IResourceItemProps): JSX.Element {
  const { notebook, resource } = row;
  const { trans } = tools;
  const { holders, waiting, more_holders, more_waiting } = resource;
  useBeat(notebook.standing === 'ready');
  const line = (one: IHolderView, index: number): JSX.Element => (
    <Line key={`${one.uid} ${index}`} one={one} resource={resource} {...{ notebook, tools, reached }} />
  );
  return (
    <div
      className="jp-Orchestra-item jp-Orchestra-resource"
      role="listitem"
      style={style}
      data-key={row.key}
      data-resource={resource.name}
      aria-posinset={row.position}
      aria-setsize={row.size}
      tabIndex={reached ? 0 : -1}
    >
      <div className="jp-Orchestra-resourceHead">
        <span className="jp-Orchestra-name" title={resource.name}>
          {resource.name}
        </span>
        <span className="jp-Orchestra-facts">{amount(resource, trans)}</span>
      </div>
      {holders.length > 0 && (
        <ul aria-label={trans.__('Held by')}>
          {holders.map(line)}
          {more_holders > 0 && <More text={trans.__('+ %1 more hold it', more_holders)} />}
        </ul>
      )}
      {waiting.length > 0 && (
        <ol aria-label={trans.__('Waiting for it')}>
          {waiting.map(line)}
          {more_waiting > 0 && <More text={trans.__('+ %1 more wait', more_waiting)} />}
        </ol>
      )}
    </div>
  );
}

function More({ text }: { text: string }): JSX.Element {
  return <li className="jp-mod-more">{text}</li>;
}

interface ILineProps {
  one: IHolderView;
  resource: IResourceView;
  notebook: NotebookModel;
  tools: ITools;
  reached: boolean;
}

/** Who, what of it where that is not the whole, and for how long. */
function Line({ one, resource, notebook, tools, reached }: ILineProps): JSX.Element {
  const { trans } = tools;
  return (
    <li data-state={one.state}>
      <Name one={one} {...{ notebook, tools, reached, trans }} />
      {one.what !== resource.name && (
        <code title={one.what}>
          <bdi>{one.what}</bdi>
        </code>
      )}
      <span className="jp-Orchestra-since">{holding(one, notebook.now(), trans)}</span>
    </li>
  );
}

interface INameProps extends Omit<ILineProps, 'resource'> {
  trans: TranslationBundle;
}

/** A task by the name that it has now, and the way to its card; anyone else by name alone. */
function Name({ one, notebook, tools, reached, trans }: INameProps): JSX.Element {
  const card = one.uid === '' ? undefined : notebook.cards.get(one.uid);
  const name = card?.name ?? holderName(one, trans);
  return card === undefined ? (
    <span className="jp-Orchestra-who" title={name}>
      {name}
    </span>
  ) : (
    <button
      type="button"
      className="jp-Orchestra-who"
      aria-label={trans.__('%1: show its card', name)}
      title={name}
      tabIndex={reached ? 0 : -1}
      onClick={() => tools.show(card.uid)}
    >
      {name}
    </button>
  );
}
