/** The version of this page's half; it is the one in package.json. */
export const VERSION = '0.1.0';
