import { seededRandom } from '../../test/support/random.ts';


/** Chance that comes out the same for the same seed. */
export class Random {
  /** From 0 up to, but not including, 1. */
  readonly uniform: () => number;

  constructor(seed: number) {
    this.uniform = seededRandom(seed);
  }

  exponential(mean: number): number {
    return -mean * Math.log(1 - this.uniform());
  }

  /** With the spread `sigma` of the logarithm: short ones often, long ones now and then. */
  logNormal(mean: number, sigma: number): number {
    const normal = Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
    return mean * Math.exp(sigma * normal - sigma ** 2 / 2);
  }
}
