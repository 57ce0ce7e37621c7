/*
 * Draws one task in the output of the cell that dispatched it, where no extension of the page does. It knows one
 * model; whatever a task wrote becomes text, never markup.
 */

const LABELS = { cancel: 'Cancel', pause: 'Pause', resume: 'Resume', retry: 'Retry' };
const EDGE = '1px solid var(--jp-border-color2, var(--vscode-widget-border, #9e9e9e))';
const FAINT = 'var(--jp-ui-font-color2, var(--vscode-descriptionForeground, inherit))';

function make(tag, style, parent) {
  const node = document.createElement(tag);
  Object.assign(node.style, style);
  parent.append(node);
  return node;
}

function draw(el) {
  const box = make(
    'div',
    {
      display: 'flex',
      flexWrap: 'wrap',
      alignItems: 'center',
      gap: '4px 10px',
      padding: '4px 8px',
      border: EDGE,
      borderRadius: '4px',
      font: '13px var(--jp-ui-font-family, var(--vscode-font-family, sans-serif))'
    },
    el
  );
  box.setAttribute('role', 'group');
  const head = make('span', { fontWeight: '600' }, box);
  const status = make('span', {}, box);
  const bar = make('progress', { width: '120px' }, box);
  bar.max = 1;
  const buttons = make('span', { display: 'flex', gap: '4px', marginLeft: 'auto' }, box);
  const line = make(
    'div',
    {
      flexBasis: '100%',
      color: FAINT,
      overflow: 'hidden',
      textOverflow: 'ellipsis',
      whiteSpace: 'nowrap',
      fontFamily: 'var(--jp-code-font-family, monospace)'
    },
    box
  );
  const note = make('div', { flexBasis: '100%' }, box);
  note.setAttribute('role', 'status');
  return { box, head, status, bar, buttons, line, note };
}

function statusOf(card, drawnAt) {
  if (!card.ticking) {
    return card.status;
  }
  const done = card.progress === null ? '' : ` ${Math.round(card.progress * 100)}%`;
  const seconds = card.seconds + Math.max(0, (performance.now() - drawnAt) / 1000);
  return `running${done} · ${seconds.toFixed(1)} s${card.stopping ? ', stopping' : ''}`;
}

export default {
  render({ model, el }) {
    const parts = draw(el);
    let drawnAt = performance.now();

    const buttons = Object.entries(LABELS).map(([action, label]) => {
      const button = make('button', { font: 'inherit', cursor: 'pointer' }, parts.buttons);
      button.type = 'button';
      button.textContent = label;
      button.addEventListener('click', () => {
        button.disabled = true;
        model.send({ action });
      });
      return [action, button];
    });

    const tick = () => {
      parts.status.textContent = statusOf(model.get('card'), drawnAt);
    };

    const update = () => {
      const card = model.get('card');
      drawnAt = performance.now();
      parts.box.setAttribute('aria-label', `Task ${card.name}`);
      parts.box.dataset.task = card.name;
      parts.box.dataset.state = card.state;
      parts.head.textContent = `${card.mark} ${card.name} · ${card.worker}`;
      parts.bar.hidden = card.progress === null;
      parts.bar.value = card.progress ?? 0;
      parts.bar.setAttribute('aria-label', `Progress of ${card.name}`);
      parts.line.textContent = card.line;
      parts.line.hidden = !card.line;
      parts.note.textContent = card.note;
      parts.note.hidden = !card.note;
      for (const [action, button] of buttons) {
        button.hidden = !card.actions.includes(action);
        button.disabled = false;
        button.setAttribute('aria-label', `${LABELS[action]} ${card.name}`);
      }
      tick();
    };

    update();
    // What the kernel said last may be old, after a reload of the page: its clock and this one are near enough.
    drawnAt -= Math.max(0, Date.now() - model.get('card').at * 1000);
    tick();
    model.on('change:card', update);
    const timer = setInterval(tick, 1000);
    model.send({ seen: true });
    return () => {
      clearInterval(timer);
      model.off('change:card', update);
    };
  }
};
