import type { EventEmitter } from 'node:events';
import type { IncomingMessage, RequestListener } from 'node:http';
import type { Duplex } from 'node:stream';

/** The engineer of a rule in an application that doesn't know who is signed in. Then the token alone says who it is. */
export const ANYBODY: unique symbol;

export type Action = 'list' | 'view' | 'read' | 'download' | 'act_as';

/** Why an access is refused. Codes with status 401 need a token, those with 503 pass by themselves, the others are 403. */
export type Code =
  | 'no_token' | 'invalid_token' | 'token_ended'
  | 'keys_unavailable' | 'feed_silent' | 'queue_unavailable' | 'queue_full'
  | 'window_closed' | 'window_ended' | 'other_engineer' | 'out_of_scope' | 'level_too_low' | 'method_override';

export interface Options {
  /** The address of Customer Lockbox, as in `https://lockbox.example`. */
  issuer: string;
  /** The key of this application's service at Customer Lockbox. */
  service: string;
  clientId: string;
  clientSecret: string;
  /** The address of this application for browsers, as in `https://app.example`. */
  origin: string;
  /** A directory on a local disk. All processes of this application on one machine share it. Its parent must exist. */
  queue: string;
  /** How many bytes may wait in the queue. After that, accesses are refused. By default 500 MiB, a million accesses. */
  queueLimit?: number;
  /** Answers a refused request of the application in place of the guard. Returns whether it did. */
  refused?: (request: any, response: any, decision: Decision) => boolean | Promise<boolean>;
  /** A clock in milliseconds that never goes back. By default `performance.now`. */
  monotonic?: () => number;
}

/** What a request is about. Name the resource by the identifier that this application uses, or by Customer Lockbox's id. */
export type Subject = ({ identifier: string; resource?: string } | { identifier?: undefined; resource: string }) & {
  /** The person who is signed in to this application: their mail address, or their id at Customer Lockbox. */
  engineer: string | typeof ANYBODY | undefined;
  /** The tenant's id or short name. It is compared if it is given. */
  tenant?: string;
};

/** By default, the action is `view` for GET, HEAD and OPTIONS, else `act_as`. A WebSocket needs `act_as`. */
export type About = Subject & { action?: Action; /** As in `/w/{id}`, never with a value. */ route?: string };

/** Says what a request is about. Return something false if it isn't about a customer's content. */
export type Rule<Request> = (request: Request) => About | null | undefined | false | '' | 0 | Promise<About | null | undefined | false>;

export interface Decision {
  readonly allowed: boolean;
  readonly code: Code | '';
  readonly status: number;
  /** These are undefined if the token's signature is not good. */
  readonly grant?: string;
  readonly reference?: string;
  readonly level?: string;
  /** The resource that was decided about. Work with this one, because a session can change in the meantime. */
  readonly identifier?: string;
  readonly engineer?: string;
  readonly closesAt?: string;
  readonly secondsLeft?: number;
}

export type Question = Subject & { token: string | undefined; action: Action };

/** Emits `trouble` with an `Error` that an operator should see. */
export class Guard extends EventEmitter {
  constructor(options: Options);
  /** Begins to follow the feed and to report. The middleware does this, too. Resolves when it can decide. */
  start(): Promise<void>;
  /** Stops following, and sends what is recorded. */
  stop(): Promise<void>;
  /** Decides, and records nothing. */
  decide(question: Question): Promise<Decision>;
  /** Decides, and records the access on the disk. Call it before the first byte, and before anything changes. */
  access(question: Question, item: string): Promise<Decision & { action?: Action; item?: string }>;
  /** Calls `cut` once when the window of an allowed access ends. Call `done` when nothing is open any more. */
  watch(access: Decision, action: string, item: string, cut: () => void): { isOpen(): boolean; done(): void };
  /** Middleware for Express 4 and 5. */
  express<Request = any>(rule: Rule<Request>): (request: any, response: any, next: (error?: unknown) => void) => void;
  /** A plugin for Fastify. */
  fastify<Request = any>(rule: Rule<Request>): (app: any) => Promise<void>;
  http(rule: Rule<IncomingMessage>, handler: RequestListener): RequestListener;
  /** For the event `upgrade` of a server. */
  upgrade(rule: Rule<IncomingMessage>, handler: (request: IncomingMessage, socket: Duplex, head: Buffer) => void):
    (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
}
