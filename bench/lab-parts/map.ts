import { CLUSTERS, PLACES, type PlaceName, RELAYS } from './places.ts';

/** One caller place on the map. */
export interface MapRow {
  readonly from: PlaceName;
  readonly ingress: PlaceName | null;
  readonly cluster: string;
  /** Lines of text beside the place. */
  readonly text: readonly string[];
}

const WIDTH = 1100;
const HEIGHT = 560;
const LEGEND_Y = HEIGHT - 26;

/** The result as a picture: an equirectangular projection without land, for land would tell nothing about the network. */
export function drawMap(rows: readonly MapRow[], title: string): string {
  const legs = rows.flatMap(({ from, ingress, cluster }) => {
    const target = cluster as PlaceName;
    const near = ingress ?? target;
    return [...(near === from ? [] : [leg(from, near, 'public')]), ...(near === target ? [] : [leg(near, target, 'backbone')])];
  });
  const dots = (Object.keys(PLACES) as PlaceName[]).map((place) => {
    const { x, y } = at(place);
    const isCluster = (CLUSTERS as readonly string[]).includes(place);
    const isRelay = (RELAYS as readonly string[]).includes(place);
    const shape = isCluster ? `<rect x="${x - 7}" y="${y - 7}" width="14" height="14" class="cluster"/>` : `<circle cx="${x}" cy="${y}" r="6" class="${isRelay ? 'relay' : 'caller'}"/>`;
    const lines = [PLACES[place].title, ...(rows.find(({ from }) => from === place)?.text ?? [])];
    const isRight = x > WIDTH - 210;
    const text = lines.map((line, i) => `<text x="${isRight ? x - 12 : x + 12}" y="${y + 4 + 15 * i}" class="${i === 0 ? 'name' : 'figures'}"${isRight ? ' text-anchor="end"' : ''}>${escape(line)}</text>`);
    return shape + text.join('');
  });
  const legend = [
    '<rect x="20" y="0" width="12" height="12" class="cluster"/><text x="38" y="11" class="figures">cluster</text>',
    '<circle cx="116" cy="6" r="6" class="relay"/><text x="128" y="11" class="figures">callers and global relay</text>',
    '<circle cx="300" cy="6" r="6" class="caller"/><text x="312" y="11" class="figures">callers</text>',
    '<path d="M380 6h40" class="backbone"/><text x="428" y="11" class="figures">backbone</text>',
    '<path d="M510 6h40" class="public"/><text x="558" y="11" class="figures">public internet</text>',
  ].join('');
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif">
<style>
  .cluster { fill: #1f5fa8 } .relay { fill: #c2571a } .caller { fill: #777 }
  .public { stroke: #999; stroke-width: 2; stroke-dasharray: 3 4; fill: none } .backbone { stroke: #c2571a; stroke-width: 2.5; fill: none }
  .name { font-size: 14px; font-weight: bold } .figures { font-size: 12px; fill: #333 } .grid { stroke: #e6e6e6 }
  text { paint-order: stroke; stroke: #fff; stroke-width: 3px }
</style>
<rect width="100%" height="100%" fill="#fff"/>
${[-120, -60, 0, 60, 120].map((longitude) => `<path d="M${xOf(longitude)} 40V${LEGEND_Y - 14}" class="grid"/>`).join('')}
${[-30, 0, 30, 60].map((latitude) => `<path d="M0 ${yOf(latitude)}H${WIDTH}" class="grid"/>`).join('')}
<text x="20" y="26" class="name">${escape(title)}</text>
${legs.join('\n')}
${dots.join('\n')}
<g transform="translate(0 ${LEGEND_Y})">${legend}</g>
</svg>
`;
}

function leg(from: PlaceName, to: PlaceName, kind: 'public' | 'backbone'): string {
  const [a, b] = [at(from), at(to)];
  const lift = Math.hypot(a.x - b.x, a.y - b.y) / 6;
  return `<path d="M${a.x} ${a.y}Q${(a.x + b.x) / 2} ${(a.y + b.y) / 2 - lift} ${b.x} ${b.y}" class="${kind}"/>`;
}

function at(place: PlaceName): { x: number; y: number } {
  return { x: xOf(PLACES[place].longitude), y: yOf(PLACES[place].latitude) };
}

function xOf(longitude: number): number {
  return Math.round(((longitude + 150) / 320) * WIDTH);
}

function yOf(latitude: number): number {
  return Math.round(HEIGHT - 60 - ((latitude + 45) / 115) * (HEIGHT - 110));
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
