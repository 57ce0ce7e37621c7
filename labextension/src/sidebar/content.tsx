/** What the sidebar shows: notes, search, tasks, composer. It draws at most once a frame, and knows no kernel. */
import '../../style/sidebar.css';
import '../../style/list.css';

import { PathExt } from '@jupyterlab/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ISignal } from '@lumino/signaling';
import React, { useEffect, useMemo, useReducer, useState } from 'react';

import { CardList } from './cardList';
import { onceAFrame } from '../coalesce';
import { Composer, Draft } from './composer';
import { ClocksGo } from './elapsed';
import { Empty } from './empty';
import { Glyph } from '../glyphs';
import { listRows } from './listing';
import type { OrchestraModel } from '../model';
import { hasEnded } from '../model';
import type { ISidebarOptions, IWish, Sidebar } from '../sidebar';
import { Standing } from './standing';

const MANY = 8; // more tasks than this have a search box

interface IContentProps {
  sidebar: Sidebar;
  options: ISidebarOptions;
  wish: IWish;
}

/** Draw again after whatever changes, once a frame, and not while nobody sees it. */
function useChanges(sidebar: Sidebar, { model, preferences, tools }: ISidebarOptions): boolean {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  const [visible, setVisible] = useState(sidebar.isVisible);
  useEffect(() => {
    const frame = onceAFrame(redraw);
    const onChange = (): void => {
      if (sidebar.isVisible) {
        frame.ask();
      }
    };
    const onVisibility = (): void => {
      setVisible(sidebar.isVisible);
      onChange();
    };
    const signals = [model.changed, preferences.changed, tools.actions.changed, tools.disclosures.changed] as ISignal<unknown, void>[];
    signals.forEach(signal => signal.connect(onChange));
    sidebar.visibilityChanged.connect(onVisibility);
    onVisibility();
    return () => {
      frame.dispose();
      signals.forEach(signal => signal.disconnect(onChange));
      sidebar.visibilityChanged.disconnect(onVisibility);
    };
  }, [sidebar, model, preferences, tools]);
  return visible;
}

export default function Content({ sidebar, options, wish }: IContentProps): JSX.Element {
  const { model, preferences, tools } = options;
  const { trans } = tools;
  const visible = useChanges(sidebar, options);
  const [query, setQuery] = useState('');
  const [draft] = useState(() => new Draft());
  const current = model.current;
  const many = countTasks(model) > MANY;
  const wanted = many ? query : '';
  const rows = listRows(model.notebooks, current, wanted, preferences.isFolded.bind(preferences));
  const handlers = useMemo(
    () => ({
      fold: preferences.fold.bind(preferences),
      onFocus: (uid: string): void => {
        wish.uid = uid;
      }
    }),
    [preferences, wish]
  );
  return (
    <ClocksGo.Provider value={visible}>
      <Top options={options} />
      {current !== null && (
        <Standing
          key={current.id}
          notebook={current}
          notice={tools.actions.noticeOf(current)}
          trans={trans}
          load={() => options.load(current)}
          copy={options.copyLoadLine}
        />
      )}
      {many && <Search query={query} trans={trans} onChange={setQuery} />}
      {rows.length > 0 ? (
        <CardList rows={rows} tools={tools} focus={wish} clearFinished={options.clearFinished} {...handlers} />
      ) : wanted !== '' ? (
        <p className="jp-Orchestra-nothing" role="status">
          {trans.__('No task matches')}
        </p>
      ) : (
        <Empty notebook={current} trans={trans} />
      )}
      <Composer draft={draft} notebook={current} wish={wish} actions={tools.actions} trans={trans} />
    </ClocksGo.Provider>
  );
}

/** The notebook in front, and what concerns all of its tasks. */
function Top({ options }: { options: ISidebarOptions }): JSX.Element {
  const { model, tools } = options;
  const { trans } = tools;
  const current = model.current;
  const path = current?.path ?? '';
  const underWay = current?.standing === 'ready' && [...current.cards.values()].some(card => !hasEnded(card));
  return (
    <div className="jp-Orchestra-top">
      <span className="jp-Orchestra-notebook" title={path}>
        {path === '' ? trans.__('Orchestra') : PathExt.basename(path)}
      </span>
      {underWay && (
        <button type="button" className="jp-Orchestra-quiet" onClick={options.cancelAll}>
          {trans.__('Cancel all')}
        </button>
      )}
      {countTasks(model) > 0 && (
        <button
          type="button"
          className="jp-Orchestra-button"
          aria-label={trans.__('Timeline')}
          title={trans.__('Timeline')}
          onClick={options.showTimeline}
        >
          <Glyph name="timeline" />
        </button>
      )}
    </div>
  );
}

interface ISearchProps {
  query: string;
  trans: TranslationBundle;
  onChange(query: string): void;
}

function Search({ query, trans, onChange }: ISearchProps): JSX.Element {
  return (
    <input
      type="search"
      className="jp-Orchestra-search"
      value={query}
      aria-label={trans.__('Search tasks by name, worker or state')}
      placeholder={trans.__('Search tasks')}
      onChange={event => onChange(event.target.value)}
    />
  );
}

function countTasks(model: OrchestraModel): number {
  return model.notebooks.reduce((sum, notebook) => sum + notebook.cards.size, 0);
}
