import type { Crossing } from './delayed-path.ts';
import { MARK_NAMES, MARKS, type Setup } from './setup-times.ts';

/** A call as text: what it waited for and each datagram, in ms since the answer was applied. */
export function timeLine(title: string, { appliedAt, times }: Setup, crossings: readonly Crossing[]): string {
  const since = (at: number): string => (at - appliedAt).toFixed(1).padStart(8);
  const marks = MARKS.map((mark) => `${MARK_NAMES[mark]} ${times[mark]?.toFixed(1) ?? 'missed'}`);
  const lines = crossings.map(({ from, sentAt, arrivedAt, what }) => {
    const arrival = arrivedAt === null ? '    lost' : since(arrivedAt);
    return `${since(sentAt)} ${arrival} ${from === 'caller' ? '──►' : '◄──'} ${what}`;
  });
  return [title, `  ${marks.join(', ')}`, '    sent  arrives', ...lines, '', ''].join('\n');
}
