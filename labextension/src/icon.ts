/** The one drawing of jupyter_orchestra: three voices that end together. It knows no widget. */
import { LabIcon } from '@jupyterlab/ui-components';

const svgstr = `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="#616161">
    <rect x="3" y="5" width="16" height="3" rx="1.5"/>
    <rect x="9" y="10.5" width="10" height="3" rx="1.5"/>
    <rect x="6" y="16" width="13" height="3" rx="1.5"/>
    <rect x="20" y="4" width="2" height="16" rx="1"/>
  </g>
</svg>`;

export const orchestraIcon = new LabIcon({ name: 'jupyter-orchestra:icon', svgstr });
