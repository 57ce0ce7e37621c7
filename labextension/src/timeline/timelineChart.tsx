/** The timeline of the notebook in front, kept up with what happens. Its rows and what is in view are elsewhere. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useEffect, useReducer, useRef } from 'react';

import { onceAFrame } from '../coalesce';
import type { NotebookModel, OrchestraModel } from '../model';
import { hasEnded } from '../model';
import type { ITimeline, PhaseKind } from './timeline';
import { layOut, zoom } from './timeline';
import { Patterns, phaseWord } from './timelineBars';
import type { ICamera } from './timelineCamera';
import { steer, STEP, useCamera, useWheel } from './timelineCamera';
import { Rows } from './timelineRows';

const BEAT = 500; // ms between two looks at the clock
const LEGEND: readonly PhaseKind[] = ['waiting', 'leases', 'queued', 'running'];

interface ITimelineProps {
  model: OrchestraModel;
  minutes: number;
  open: (uid: string) => void;
  trans: TranslationBundle;
}

export function Timeline({ model, minutes, open, trans }: ITimelineProps): JSX.Element {
  const root = useRef<HTMLDivElement>(null);
  const notebook = useNotebook(model, root);
  const now = notebook?.now() ?? 0;
  const timeline = layOut(notebook === null ? [] : [...notebook.cards.values()], now);
  const camera = useCamera(timeline, now, minutes);
  useWheel(root, camera, timeline);
  return (
    <div className="jp-OrchestraTimeline-root" ref={root} onKeyDown={event => steer(event, camera, timeline)}>
      <div className="jp-OrchestraTimeline-head">
        <h2>{trans.__('Timeline')}</h2>
        <span className="jp-OrchestraTimeline-path">{notebook?.path ?? ''}</span>
        <Legend trans={trans} />
        <Controls camera={camera} timeline={timeline} trans={trans} />
      </div>
      <Patterns />
      {timeline.rows.length === 0 ? (
        <p className="jp-OrchestraPanel-notice">{trans.__('This notebook has dispatched nothing yet.')}</p>
      ) : (
        <Rows timeline={timeline} view={camera.view} now={now} open={open} trans={trans} />
      )}
    </div>
  );
}

/** The notebook in front, drawn again whenever something happens or time goes on, and not while it is hidden. */
function useNotebook(model: OrchestraModel, root: React.RefObject<HTMLElement>): NotebookModel | null {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  const last = useRef<NotebookModel | null>(null);
  useEffect(() => {
    const isSeen = () => root.current?.offsetParent !== null;
    const frame = onceAFrame(() => isSeen() && redraw());
    const listen = () => frame.ask();
    const beat = window.setInterval(() => {
      const goesOn = [...(last.current?.cards.values() ?? [])].some(card => !hasEnded(card));
      if (goesOn && isSeen()) {
        redraw();
      }
    }, BEAT);
    const observer = new ResizeObserver(listen); // a hidden tab that comes back changes its size
    observer.observe(root.current!);
    model.changed.connect(listen);
    return () => {
      model.changed.disconnect(listen);
      observer.disconnect();
      window.clearInterval(beat);
      frame.dispose();
    };
  }, [model]);
  const kept = last.current !== null && model.notebooks.includes(last.current) ? last.current : null;
  last.current = model.current ?? kept ?? model.notebooks[0] ?? null;
  return last.current;
}

function Legend({ trans }: { trans: TranslationBundle }): JSX.Element {
  return (
    <ul className="jp-OrchestraTimeline-legend" aria-label={trans.__('Legend')}>
      {LEGEND.map(kind => (
        <li key={kind}>
          <span data-phase={kind} />
          {phaseWord(kind, trans)}
        </li>
      ))}
      <li>
        <span data-phase="running" data-critical="" />
        {trans.__('critical path')}
      </li>
    </ul>
  );
}

interface IControlsProps {
  camera: ICamera;
  timeline: ITimeline;
  trans: TranslationBundle;
}

function Controls({ camera, timeline, trans }: IControlsProps): JSX.Element {
  const zoomBy = (factor: number) => camera.set(zoom(camera.view, factor, camera.anchor, timeline));
  const isWhole = camera.isWhole;
  return (
    <div className="jp-OrchestraTimeline-controls" role="group" aria-label={trans.__('View')}>
      <button
        type="button"
        aria-label={trans.__('Zoom out')}
        title={trans.__('Zoom out (-)')}
        onClick={() => zoomBy(STEP)}
      >
        −
      </button>
      <button
        type="button"
        aria-label={trans.__('Zoom in')}
        title={trans.__('Zoom in (+)')}
        onClick={() => zoomBy(1 / STEP)}
      >
        +
      </button>
      <button type="button" aria-pressed={isWhole} title={trans.__('Show all (0)')} onClick={() => camera.showAll()}>
        {trans.__('All')}
      </button>
      <button
        type="button"
        aria-pressed={camera.follows}
        title={trans.__('Keep what happens now in view')}
        onClick={() => camera.setFollows(!camera.follows)}
      >
        {trans.__('Follow')}
      </button>
    </div>
  );
}
