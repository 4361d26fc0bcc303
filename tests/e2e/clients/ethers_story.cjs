// What a contract author does with stock ethers: node ethers_story.cjs HTTP_URL WS_URL ARTEFACT_JSON MNEMONIC
// Prints one line of JSON: what the test compares.
const fs = require("fs");
const assert = require("assert");
const { ethers } = require("ethers");

const [, , http, socket, file, mnemonic] = process.argv;
const artefact = JSON.parse(fs.readFileSync(file, "utf8"));

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

async function main() {
  const provider = new ethers.JsonRpcProvider(http, undefined, { pollingInterval: 200, cacheTimeout: -1 });
  const root = ethers.HDNodeWallet.fromPhrase(mnemonic, "", "m/44'/60'/0'/0");
  const [alice, bob] = [3, 4].map((index) => root.deriveChild(index).connect(provider));
  const network = await provider.getNetwork();

  // deploy, call, send, logs
  const factory = new ethers.ContractFactory(artefact.abi, artefact.bytecode, alice);
  const contract = await factory.deploy("Ethers", 1000n, { value: 5n });
  const created = await contract.deploymentTransaction().wait();
  const address = await contract.getAddress();
  assert.equal(created.contractAddress, address);
  assert.equal(await contract.name(), "Ethers");
  const receipt = await (await contract.transfer(bob.address, 70n)).wait();
  const events = await contract.queryFilter(contract.filters.Transfer(null, bob.address), created.blockNumber);
  assert.equal(events.length, 1);
  assert.equal(events[0].args.amount, 70n);
  assert.equal(await contract.balanceOf(bob.address), 70n);
  const past = await contract.balanceOf(bob.address, { blockTag: receipt.blockNumber - 1 });
  assert.equal(past, 0n);
  const lines = await contract.history();
  assert.equal(lines[0].who, bob.address);

  // reverts
  const reverted = await rejection(contract.transfer(bob.address, 5000n));
  const custom = await rejection(contract.connect(bob).onlyOwner.staticCall());
  const failing = await contract.connect(bob).onlyOwner({ gasLimit: 100000n });
  const failed = await rejection(failing.wait());
  assert.equal(failed.code, "CALL_EXCEPTION");
  assert.equal(failed.receipt.status, 0);

  // every type of transaction
  const types = [];
  const fees = await provider.getFeeData();
  const price = { gasPrice: fees.gasPrice };
  for (const form of [{ type: 0, ...price }, { type: 1, accessList: [], ...price }, { type: 2 }]) {
    const done = await (await alice.sendTransaction({ to: bob.address, value: 1n, ...form })).wait();
    types.push(done.type);
  }
  const authority = ethers.Wallet.createRandom(provider);
  const authorization = await authority.authorize({ address, nonce: 0, chainId: network.chainId });
  const four = await alice.sendTransaction({
    type: 4, to: bob.address, authorizationList: [authorization], gasLimit: 200000n,
  });
  types.push((await four.wait()).type);
  const delegated = await provider.getCode(authority.address);
  assert.equal(delegated.toLowerCase(), "0xef0100" + address.slice(2).toLowerCase());

  // finality and blocks
  const final = await until(async () => {
    const block = await provider.getBlock("finalized");
    return block.number >= receipt.blockNumber ? block : null;
  });
  const safe = await provider.getBlock("safe");
  assert(safe.number >= final.number);
  const full = await provider.getBlock(receipt.blockNumber, true);
  assert.equal(full.getPrefetchedTransaction(receipt.index).hash, receipt.hash);

  // traces
  const trace = await provider.send("debug_traceTransaction", [receipt.hash, { tracer: "callTracer" }]);
  assert.equal(trace.to.toLowerCase(), address.toLowerCase());

  // subscriptions over WebSocket
  const ws = new ethers.WebSocketProvider(socket);
  const watched = new ethers.Contract(address, artefact.abi, ws);
  const heads = [];
  const logs = [];
  const pending = [];
  await ws.on("block", (number) => heads.push(number));
  await ws.on("pending", (hash) => pending.push(hash));
  await watched.on("Transfer", (from, to, amount) => logs.push(amount));
  await wait(500);
  const sent = await contract.transfer(bob.address, 4n);
  await sent.wait();
  await until(() => heads.length >= 2 && logs.length && pending.includes(sent.hash));
  await watched.removeAllListeners();
  await ws.removeAllListeners();
  await ws.destroy();
  provider.destroy();

  return {
    chainId: Number(network.chainId),
    deployed: created.status,
    reason: reverted.reason,
    ownerReason: custom.reason,
    types,
    heads: heads.length,
    logs: logs.map(Number),
  };
}

main().then(
  (result) => { console.log(JSON.stringify(result)); process.exit(0); },
  (error) => { console.error(error); process.exit(1); },
);
