/** The small drawings of the cards, in the colour of the text around them. They know no task but its state. */
import React from 'react';

import type { ICard } from './protocol';

const OUTLINES = {
  open: 'M9 3h4v4M13 3 7.5 8.5M11 9.5V13H3V5h3.5',
  cell: 'M2.5 3.5h11v9h-11zM5 6.5 7 8 5 9.5M8.5 10h2.5',
  pause: 'M5.5 3.5v9M10.5 3.5v9',
  resume: 'M5 3.2v9.6L12.5 8z',
  cancel: 'M4 4l8 8M12 4l-8 8',
  retry: 'M12.8 8A4.8 4.8 0 1 1 11.2 4.4M11.6 1.8v3H8.6',
  forget: 'M3 4.5h10M6.5 4.5v-2h3v2M4.5 4.5l.6 9h5.8l.6-9',
  fold: 'M5 6.5 8 9.5l3-3',
  copy: 'M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z',
  timeline: 'M2.5 4h6M6 8h5M9 12h4.5'
} as const;

export type GlyphName = keyof typeof OUTLINES;

export const Glyph = React.memo(function Glyph({ name }: { name: GlyphName }): JSX.Element {
  return (
    <svg className="jp-Orchestra-glyph" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={OUTLINES[name]} />
    </svg>
  );
});

type Mark = ICard['state'] | 'needs-you';

const RING = <circle cx="8" cy="8" r="5.2" />;
const MARKS: Record<Mark, JSX.Element> = {
  'needs-you': <path d="M8 2.5v7M8 12.6v.9" className="jp-mod-bold" />,
  running: <circle cx="8" cy="8" r="4.2" className="jp-mod-filled" />,
  waiting: RING,
  queued: (
    <>
      {RING}
      <path d="M8 5v3.2l2 1.3" />
    </>
  ),
  paused: <path d="M5.8 4v8M10.2 4v8" className="jp-mod-bold" />,
  done: <path d="M3.2 8.6 6.6 12l6.2-7.6" className="jp-mod-bold" />,
  failed: <path d="M4.2 4.2l7.6 7.6M11.8 4.2l-7.6 7.6" className="jp-mod-bold" />,
  cancelled: (
    <>
      {RING}
      <path d="M4.4 11.6l7.2-7.2" />
    </>
  ),
  lost: <circle cx="8" cy="8" r="5.2" strokeDasharray="2.4 2" />
};

/** A state by its shape; the word beside it says the same. */
export const StateMark = React.memo(function StateMark({ mark }: { mark: Mark }): JSX.Element {
  return (
    <svg className="jp-Orchestra-mark" data-mark={mark} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      {MARKS[mark]}
    </svg>
  );
});
