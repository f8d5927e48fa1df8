/** RFC 5769, sections 2.1 to 2.3, with their dissection. */

export const PASSWORD = 'VOkJxbRl1RmTxUk/WvJxBt';
export const TRANSACTION_ID = fromHex('b7e7a701 bc34d686 fa87dfae');

export const SAMPLE_REQUEST = fromHex(`
  0001 0058 2112a442 b7e7a701 bc34d686 fa87dfae
  8022 0010 5354554e 20746573 7420636c 69656e74   SOFTWARE "STUN test client"
  0024 0004 6e0001ff                              PRIORITY
  8029 0008 932ff9b1 51263b36                     ICE-CONTROLLED
  0006 0009 6576746a 3a683676 59202020            USERNAME "evtj:h6vY", padded with spaces
  0008 0014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2
  8028 0004 e57a3bcf
`);

export const SAMPLE_IPV4_RESPONSE = fromHex(`
  0101 003c 2112a442 b7e7a701 bc34d686 fa87dfae
  8022 000b 74657374 20766563 746f7220            SOFTWARE "test vector", padded with a space
  0020 0008 0001 a147 e112a643                    XOR-MAPPED-ADDRESS 192.0.2.1:32853
  0008 0014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7
  8028 0004 c07d4c96
`);

export const SAMPLE_IPV6_RESPONSE = fromHex(`
  0101 0048 2112a442 b7e7a701 bc34d686 fa87dfae
  8022 000b 74657374 20766563 746f7220            SOFTWARE "test vector", padded with a space
  0020 0014 0002 a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9   [2001:db8:1234:5678:11:2233:4455:6677]:32853
  0008 0014 a382954e 4be67bf1 1784c97c 8292c275 bfe3ed41
  8028 0004 c8fb0b4c
`);

/** Reads lines of hexadecimal groups; whatever follows three spaces is a remark. */
function fromHex(text: string): Uint8Array {
  const digits = text
    .trim()
    .split('\n')
    .map((line) => line.trim().split('   ')[0].replaceAll(' ', ''))
    .join('');
  return new Uint8Array(Buffer.from(digits, 'hex'));
}
