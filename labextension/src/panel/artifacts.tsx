/** Lists a task's artifacts, to open or to download. It knows how to show them, not where they are kept. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { fileSize } from './clock';
import type { IArtifactLine } from '../protocol';
import { canOpen } from './viewer';

/** Gets the bytes of the artifact. */
export type Fetch = (artifact: IArtifactLine, onProgress: (part: number) => void) => Promise<Uint8Array>;

interface IArtifactsProps {
  artifacts: readonly IArtifactLine[];
  /** Whether no more will come. */
  isComplete: boolean;
  fetch: Fetch;
  open: (artifact: IArtifactLine, bytes: Uint8Array) => Promise<void>;
  trans: TranslationBundle;
}

export function Artifacts({ artifacts, isComplete, fetch, open, trans }: IArtifactsProps): JSX.Element {
  if (artifacts.length === 0) {
    const nothing = isComplete ? trans.__('No files.') : trans.__('No files yet.');
    return <p className="jp-OrchestraPanel-notice">{nothing}</p>;
  }
  return (
    <ul className="jp-OrchestraArtifacts">
      {artifacts.map(artifact => (
        <Line key={artifact.name} artifact={artifact} fetch={fetch} open={open} trans={trans} />
      ))}
    </ul>
  );
}

interface ILineProps extends Omit<IArtifactsProps, 'artifacts' | 'isComplete'> {
  artifact: IArtifactLine;
}

function Line({ artifact, fetch, open, trans }: ILineProps): JSX.Element {
  const [part, setPart] = React.useState<number | null>(null);
  const [problem, setProblem] = React.useState('');
  const run = async (use: (bytes: Uint8Array) => Promise<void> | void) => {
    setProblem('');
    setPart(0);
    try {
      await use(await fetch(artifact, setPart));
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
    setPart(null);
  };
  const name = artifact.name;
  return (
    <li data-artifact={name}>
      <span className="jp-OrchestraArtifacts-name">{name}</span>
      <span className="jp-OrchestraArtifacts-kind">
        {artifact.mime} · {fileSize(artifact.size)}
      </span>
      {canOpen(artifact) && (
        <button
          className="jp-OrchestraPanel-button"
          disabled={part !== null}
          aria-label={trans.__('Open %1', name)}
          onClick={() => void run(bytes => open(artifact, bytes))}
        >
          {trans.__('Open')}
        </button>
      )}
      <button
        className="jp-OrchestraPanel-button"
        disabled={part !== null}
        aria-label={trans.__('Download %1', name)}
        onClick={() => void run(bytes => download(artifact, bytes))}
      >
        {trans.__('Download')}
      </button>
      {part !== null && <progress value={part} aria-label={trans.__('Fetching %1', name)} />}
      {problem !== '' && (
        <p className="jp-OrchestraPanel-problem" role="alert">
          {trans.__('%1 can’t be fetched: %2', name, problem)}
        </p>
      )}
    </li>
  );
}

/** Hand the bytes to the browser as a file; as what they are, never as a page of this server. */
function download(artifact: IArtifactLine, bytes: Uint8Array): void {
  const url = URL.createObjectURL(new Blob([bytes], { type: 'application/octet-stream' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = artifact.name.split('/').pop() ?? artifact.name;
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
