/**
 * Virtual time: events in the order (time, order of scheduling). Nothing else moves the simulated world.
 */

export interface Scheduler {
  /** True time in milliseconds, which no node can see. */
  readonly now: number;
  readonly eventCount: number;
  at(time: number, run: () => void): void;
  after(delay: number, run: () => void): void;
  /** Runs events until `time`; false when `shouldStop` said so first. */
  runUntil(time: number, shouldStop: () => boolean): boolean;
}

interface Event {
  readonly time: number;
  readonly order: number;
  readonly run: () => void;
}

export function createScheduler(afterEach: () => void): Scheduler {
  const heap: Event[] = [];
  let now = 0;
  let order = 0;
  let eventCount = 0;

  const isBefore = (a: Event, b: Event): boolean =>
    a.time < b.time || (a.time === b.time && a.order < b.order);

  function push(event: Event): void {
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent] as Event)) break;
      heap[at] = heap[parent] as Event;
      at = parent;
    }
    heap[at] = event;
  }

  function pop(): Event {
    const first = heap[0] as Event;
    const last = heap.pop() as Event;
    if (heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child++;
      if (!isBefore(heap[child] as Event, last)) break;
      heap[at] = heap[child] as Event;
      at = child;
    }
    heap[at] = last;
    return first;
  }

  return {
    get now() {
      return now;
    },
    get eventCount() {
      return eventCount;
    },
    at: (time, run) => push({ time: Math.max(time, now), order: order++, run }),
    after: (delay, run) => push({ time: now + delay, order: order++, run }),
    runUntil(time, shouldStop) {
      while (heap.length > 0 && (heap[0] as Event).time <= time) {
        if (shouldStop()) return false;
        const event = pop();
        now = event.time;
        eventCount++;
        event.run();
        afterEach();
      }
      now = time;
      return !shouldStop();
    },
  };
}
