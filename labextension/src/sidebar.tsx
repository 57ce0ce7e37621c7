/** What the sidebar shows. It renders only: it holds no state and talks to no kernel. */
import { ReactWidget } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { orchestraIcon } from './icon';

/** The id by which the layout restorer, the tests and style sheets find the sidebar. */
export const SIDEBAR_ID = 'jupyter-orchestra-sidebar';

interface IEmptyProps {
  trans: TranslationBundle;
}

function Empty({ trans }: IEmptyProps): JSX.Element {
  return (
    <div className="jp-Orchestra-empty">
      <p>{trans.__('To send work to the background, run in a notebook:')}</p>
      <p>
        <code>%load_ext jupyter_orchestra</code>
      </p>
      <p>
        <code>%%dispatch</code> {trans.__('at the top of a cell')}
      </p>
    </div>
  );
}

export function createSidebar(trans: TranslationBundle): ReactWidget {
  const sidebar = ReactWidget.create(<Empty trans={trans} />);
  sidebar.id = SIDEBAR_ID;
  sidebar.addClass('jp-Orchestra');
  sidebar.title.icon = orchestraIcon;
  sidebar.title.caption = trans.__('Orchestra');
  sidebar.node.setAttribute('role', 'region');
  sidebar.node.setAttribute('aria-label', trans.__('Orchestra'));
  return sidebar;
}
