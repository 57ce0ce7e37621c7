/** Makes one call of many. It knows neither what is called nor why. */

/** A call that happens once for all that ask for it meanwhile. */
export interface ICoalesced {
  ask(): void;
  dispose(): void;
}

/** At most once in each animation frame; never while the page is hidden. */
export function onceAFrame(call: () => void): ICoalesced {
  let asked = 0;
  return {
    ask: () => {
      asked ||= requestAnimationFrame(() => {
        asked = 0;
        call();
      });
    },
    dispose: () => cancelAnimationFrame(asked)
  };
}

/** At most once in `milliseconds`, in a hidden page too. */
export function onceIn(milliseconds: number, call: () => void): ICoalesced {
  let asked: ReturnType<typeof setTimeout> | null = null;
  return {
    ask: () => {
      asked ??= setTimeout(() => {
        asked = null;
        call();
      }, milliseconds);
    },
    dispose: () => {
      if (asked !== null) {
        clearTimeout(asked);
      }
    }
  };
}
