import { readFileSync, readdirSync } from 'node:fs';

/** Linux counts CPU time for /proc in hundredths of a second (USER_HZ) on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;

/** CPU seconds, user and system, that a process and all its descendants have used so far. Linux. */
export function cpuSeconds(pid: number): number {
  const children = childrenByParent();
  const sum = (of: number): number =>
    ownCpuSeconds(of) + (children.get(of) ?? []).reduce((total, child) => total + sum(child), 0);
  return sum(pid);
}

/**
 * CPU seconds that the living threads of one process have used so far, to the nanosecond: for moments that are too short
 * for ticks. Linux.
 */
export function livingCpuSeconds(pid: number): number {
  return [...threadCpuSeconds(pid).values()].reduce((sum, seconds) => sum + seconds, 0);
}

/** CPU seconds of each thread of a process so far, by its id. Linux. */
export function threadCpuSeconds(pid: number): ReadonlyMap<number, number> {
  const threads = readdirSync(`/proc/${pid}/task`).map(Number);
  return new Map(threads.map((tid) => [tid, threadSeconds(pid, tid)]));
}

/** 0 for a thread that has just ended. */
function threadSeconds(pid: number, tid: number): number {
  try {
    // The first number of schedstat: nanoseconds on a CPU.
    return Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'latin1').split(' ')[0]) / 1e9;
  } catch {
    return 0;
  }
}

/** CPU seconds that the whole machine has been busy so far, interrupts included, time taken by a hypervisor not. Linux. */
export function busySeconds(): number {
  const [user, nice, system, , , irq, softirq] = readFileSync('/proc/stat', 'latin1').split('\n', 1)[0].split(/ +/).slice(1).map(Number);
  return (user + nice + system + irq + softirq) / TICKS_PER_SECOND;
}

/** Watches what else the machine does: all that this process and its descendants do not. */
export class OtherWork {
  #at = performance.now();
  #cpu = othersCpuSeconds();

  /** Cores that others have kept busy since this was last asked, or made. */
  cores(): number {
    const now = performance.now();
    const cpu = othersCpuSeconds();
    const cores = ((cpu - this.#cpu) * 1000) / (now - this.#at);
    this.#at = now;
    this.#cpu = cpu;
    return cores;
  }
}

function othersCpuSeconds(): number {
  return busySeconds() - cpuSeconds(process.pid);
}

function ownCpuSeconds(pid: number): number {
  const fields = statFields(pid);
  // utime, stime, and those of children that have been waited for: fields 14 to 17 of proc(5), here less three.
  return fields === null ? 0 : fields.slice(11, 15).reduce((total, ticks) => total + Number(ticks), 0) / TICKS_PER_SECOND;
}

function childrenByParent(): Map<number, number[]> {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const fields = /^\d+$/.test(name) ? statFields(Number(name)) : null;
    if (fields === null) continue;
    const parent = Number(fields[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  return children;
}

/** The fields after the command's name, which may hold spaces and brackets; null when the process is gone. */
function statFields(pid: number): string[] | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}
