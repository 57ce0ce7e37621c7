module.exports = {
  testEnvironment: 'jsdom',
  setupFiles: ['<rootDir>/tests/setup.js'],
  testMatch: ['<rootDir>/tests/**/*.test.ts', '<rootDir>/tests/**/*.test.tsx'],
  transform: { '^.+\\.[jt]sx?$': ['ts-jest', { tsconfig: '<rootDir>/tests/tsconfig.json' }] },
  // These are published as ES modules only.
  transformIgnorePatterns: ['/node_modules/(?!(@jupyter/ydoc)/)'],
  moduleNameMapper: { '\\.(css|svg)$': '<rootDir>/tests/nothing.js' }
};
