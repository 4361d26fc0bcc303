// The same block or headers by bcoin, on one core: node verify_bcoin.js FOLDER < work.json
// FOLDER holds node_modules with bcoin. Prints {version, crypto, seconds | rates}.
'use strict';

const {createRequire} = require('module');
const path = require('path');
const {readFileSync} = require('fs');
const from = createRequire(path.resolve(process.argv[2], 'x.js'));

const Block = from('bcoin/lib/primitives/block');
const Headers = from('bcoin/lib/primitives/headers');
const Coin = from('bcoin/lib/primitives/coin');
const CoinView = from('bcoin/lib/coins/coinview');
const Script = from('bcoin/lib/script/script');
const consensus = from('bcoin/lib/protocol/consensus');
const flags = Script.flags.MANDATORY_VERIFY_FLAGS | Script.flags.VERIFY_WITNESS | Script.flags.VERIFY_P2SH;
const work = JSON.parse(readFileSync(0));

function seconds(since) {
  return Number(process.hrtime.bigint() - since) / 1e9;
}

function viewOf(tx, outputs) {
  const view = new CoinView();
  tx.inputs.forEach((input, at) => {
    const [value, script] = outputs[at];
    const {hash, index} = input.prevout;
    view.addCoin(Coin.fromOptions({version: 1, height: 1, coinbase: false, value, hash, index,
      script: Script.fromRaw(Buffer.from(script, 'hex'))}));
  });
  return view;
}

// All is parsed; of the spends a sample is verified, and its time scaled to all.
function verifyBlock(raw) {
  const start = process.hrtime.bigint();
  const spends = Block.fromRaw(raw).txs.slice(1);
  const parsing = seconds(start);
  const verified = process.hrtime.bigint();
  work.spent.forEach((outputs, at) => {
    if (!spends[at].verify(viewOf(spends[at], outputs), flags))
      throw new Error(`transaction ${at + 1} does not verify`);
  });
  return parsing + seconds(verified) * spends.length / work.spent.length;
}

function checkHeaders(raws) {
  const start = process.hrtime.bigint();
  for (const raw of raws) {
    const header = Headers.fromHead(raw);
    if (!consensus.verifyPOW(header.hash(), header.bits))
      throw new Error('a header has no work');
  }
  return raws.length / seconds(start);
}

const crypto = from('bcrypto/lib/secp256k1').native === 2 ? 'C' : 'JavaScript';
const answer = {version: from('bcoin/package.json').version, crypto};
const runs = Array.from({length: work.runs});
if (work.block)
  answer.seconds = runs.map(() => verifyBlock(Buffer.from(work.block, 'hex')));
else
  answer.rates = runs.map(() => checkHeaders(work.headers.map(raw => Buffer.from(raw, 'hex'))));
console.log(JSON.stringify(answer));
