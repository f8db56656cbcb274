// Checksums as S3 writes them: in base64.

// mostBytes are held in memory to be hashed.
const mostBytes = 512 << 20;

const base64 = bytes => btoa(String.fromCharCode(...bytes));

// checksum of a file by the algorithm that the bucket asks for.
export async function checksum(algorithm, file) {
  if (file.size > mostBytes) throw refuse(`The bucket asks for a checksum, and this page computes none of more than ${mostBytes >> 20} MiB`);
  if (algorithm === "SHA256") {
    if (!globalThis.crypto?.subtle) throw refuse("The bucket asks for a SHA-256, which a browser computes for pages of https or of this machine only");
    return {algorithm, value: base64(new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer())))};
  }
  if (algorithm === "CRC32C") return {algorithm, value: base64(crc32c(new Uint8Array(await file.arrayBuffer())))};
  throw refuse(`The bucket asks for a checksum by ${algorithm}, which this page does not know`);
}

const refuse = text => Object.assign(new Error(text), {final: true});

// castagnoli is the table of the reversed polynomial of CRC-32C (RFC 3720, appendix B.4).
const castagnoli = Uint32Array.from({length: 256}, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? n >>> 1 ^ 0x82f63b78 : n >>> 1;
  return n;
});

export function crc32c(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = sum >>> 8 ^ castagnoli[(sum ^ byte) & 0xff];
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, ~sum >>> 0);
  return out;
}
