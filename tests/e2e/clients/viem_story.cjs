// The same with stock viem: node viem_story.cjs HTTP_URL WS_URL ARTEFACT_JSON MNEMONIC
const fs = require("fs");
const assert = require("assert");
const viem = require("viem");
const { mnemonicToAccount, privateKeyToAccount, generatePrivateKey } = require("viem/accounts");

const [, , http, socket, file, mnemonic] = process.argv;
const { abi, bytecode } = JSON.parse(fs.readFileSync(file, "utf8"));
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(ask, ms = 60000) {
  const end = Date.now() + ms;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    assert(Date.now() < end, `still not so after ${ms} ms: ${ask}`);
    await wait(200);
  }
}

async function rejection(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it should have failed");
}

function reason(error) {
  const found = error.walk((one) => one.reason !== undefined);
  return found ? found.reason : error.shortMessage;
}

async function main() {
  const reader = viem.createPublicClient({ transport: viem.http(http), pollingInterval: 200 });
  const chain = viem.defineChain({
    id: await reader.getChainId(),
    name: "ioeX devnet",
    nativeCurrency: { name: "ioeX", symbol: "IOEX", decimals: 18 },
    rpcUrls: { default: { http: [http] } },
  });
  const [alice, bob] = [5, 6].map((addressIndex) => mnemonicToAccount(mnemonic, { addressIndex }));
  const wallet = viem.createWalletClient({ account: alice, chain, transport: viem.http(http) });
  const receiptOf = (hash) => reader.waitForTransactionReceipt({ hash, timeout: 60000 });

  // deploy, call, send, logs
  const created = await receiptOf(await wallet.deployContract({ abi, bytecode, args: ["Viem", 1000n] }));
  const address = viem.getAddress(created.contractAddress);
  const read = (functionName, args = [], more = {}) => reader.readContract({ address, abi, functionName, args, ...more });
  assert.equal(await read("name"), "Viem");
  const { request, result } = await reader.simulateContract({
    address, abi, functionName: "transfer", args: [bob.address, 70n], account: alice,
  });
  assert.equal(result, true);
  const receipt = await receiptOf(await wallet.writeContract(request));
  const events = await reader.getContractEvents({
    address, abi, eventName: "Transfer", args: { receiver: bob.address }, fromBlock: created.blockNumber,
  });
  assert.equal(events.length, 1);
  assert.equal(events[0].args.amount, 70n);
  assert.equal(await read("balanceOf", [bob.address]), 70n);
  assert.equal(await read("balanceOf", [bob.address], { blockNumber: receipt.blockNumber - 1n }), 0n);

  // reverts
  const reverted = await rejection(
    reader.simulateContract({ address, abi, functionName: "transfer", args: [bob.address, 5000n], account: alice }),
  );
  const owner = await rejection(
    reader.simulateContract({ address, abi, functionName: "onlyOwner", account: bob }),
  );
  const missed = await receiptOf(await wallet.writeContract({
    address, abi, functionName: "transfer", args: [bob.address, 5000n], gas: 100000n,
  }));
  assert.equal(missed.status, "reverted");

  // every type of transaction
  const types = [];
  const gasPrice = await reader.getGasPrice();
  for (const form of [{ gasPrice, type: "legacy" }, { gasPrice, type: "eip2930", accessList: [] }, { type: "eip1559" }]) {
    types.push((await receiptOf(await wallet.sendTransaction({ to: bob.address, value: 1n, ...form }))).type);
  }
  const authority = privateKeyToAccount(generatePrivateKey());
  const authorization = await wallet.signAuthorization({ account: authority, contractAddress: address });
  const four = await receiptOf(await wallet.sendTransaction({
    to: bob.address, authorizationList: [authorization], gas: 200000n,
  }));
  types.push(four.type);
  assert.equal(
    (await reader.getCode({ address: authority.address })).toLowerCase(),
    "0xef0100" + address.slice(2).toLowerCase(),
  );

  // proofs, overrides, finality, traces
  const proof = await reader.getProof({ address, storageKeys: [viem.toHex(0, { size: 32 })] });
  assert.equal(proof.storageProof[0].value, 1000n);
  const changed = await read("totalSupply", [], {
    stateOverride: [{ address, stateDiff: [{ slot: viem.toHex(0, { size: 32 }), value: viem.toHex(7, { size: 32 }) }] }],
  });
  assert.equal(changed, 7n);
  const final = await until(async () => {
    const block = await reader.getBlock({ blockTag: "finalized" });
    return block.number >= receipt.blockNumber ? block : null;
  });
  assert((await reader.getBlock({ blockTag: "safe" })).number >= final.number);
  const trace = await reader.request({
    method: "debug_traceTransaction", params: [receipt.transactionHash, { tracer: "callTracer" }],
  });
  assert.equal(trace.to.toLowerCase(), address.toLowerCase());

  // subscriptions over WebSocket
  const live = viem.createPublicClient({ transport: viem.webSocket(socket) });
  const heads = [];
  const logs = [];
  const pending = [];
  const stop = [
    live.watchBlockNumber({ onBlockNumber: (number) => heads.push(number) }),
    live.watchPendingTransactions({ onTransactions: (hashes) => pending.push(...hashes) }),
    live.watchContractEvent({ address, abi, eventName: "Transfer", onLogs: (found) => logs.push(...found) }),
  ];
  await wait(500);
  const sent = await wallet.writeContract({ address, abi, functionName: "transfer", args: [bob.address, 4n] });
  await receiptOf(sent);
  await until(() => heads.length >= 2 && logs.length && pending.includes(sent));
  stop.forEach((end) => end());

  return {
    chainId: chain.id,
    deployed: created.status === "success" ? 1 : 0,
    reason: reason(reverted),
    ownerReason: reason(owner),
    types: types.map((type) => ({ legacy: 0, eip2930: 1, eip1559: 2, eip7702: 4 })[type]),
    heads: heads.length,
    logs: logs.map((log) => Number(log.args.amount)),
  };
}

main().then(
  (result) => { console.log(JSON.stringify(result)); process.exit(0); },
  (error) => { console.error(error); process.exit(1); },
);
