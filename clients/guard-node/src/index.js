export { ANYBODY, Guard } from './guard.js';
