/** Opens the timeline and finds its place. It knows nothing of how it is drawn. */
import '../style/timeline.css';

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { MainAreaWidget } from '@jupyterlab/apputils';
import { ReactWidget } from '@jupyterlab/ui-components';
import React from 'react';

import { orchestraIcon } from './icon';
import type { OrchestraModel } from './model';
import { openPanel } from './panel';
import { panelOf } from './places';
import type { Preferences } from './preferences';
import type { IPanelDeps } from './taskPanel';
import { Timeline } from './timelineChart';

export interface ITimelineDeps extends IPanelDeps {
  preferences?: Preferences;
}

const ID = 'jupyter-orchestra-timeline';
let shown: MainAreaWidget | null = null;

/** Show the timeline; there is one. */
export async function openTimeline(app: JupyterFrontEnd, model: OrchestraModel, deps: ITimelineDeps): Promise<void> {
  shown ??= createTimeline(app, model, deps);
  app.shell.activateById(ID);
}

function createTimeline(app: JupyterFrontEnd, model: OrchestraModel, deps: ITimelineDeps): MainAreaWidget {
  const { trans } = deps;
  const open = (uid: string): void => void openPanel(app, model, deps, uid);
  const content = ReactWidget.create(
    <Timeline model={model} minutes={deps.preferences?.settings.timelineMinutes ?? 0} open={open} trans={trans} />
  );
  content.addClass('jp-OrchestraTimeline');
  const timeline = new MainAreaWidget({ content });
  timeline.id = ID;
  timeline.toolbar.hide();
  timeline.title.label = trans.__('Timeline');
  timeline.title.icon = orchestraIcon;
  content.node.setAttribute('aria-label', trans.__('Timeline'));
  if (deps.labShell === null) {
    app.shell.add(timeline, 'right', { rank: 905, type: 'Orchestra' });
  } else {
    // It is wide and low: below the notebook, whose place it leaves alone.
    const ref = model.current === null ? null : panelOf(deps.tracker, model.current)?.id ?? null;
    app.shell.add(timeline, 'main', { mode: 'split-bottom', ref, activate: false, type: 'Orchestra' });
  }
  timeline.disposed.connect(() => (shown = null));
  return timeline;
}
