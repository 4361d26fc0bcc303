// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import "./Priced.sol";

library Prices {
    function twice(uint256 price) public pure returns (uint256) {
        return price * 2;
    }
}

/// Sells one thing at a price that never changes.
contract Shop is Priced {
    uint256 public immutable price;
    address public immutable owner;
    uint256 public sold;

    event Sold(address indexed buyer, uint256 paid);
    error TooLittle(uint256 wanted, uint256 given);

    constructor(uint256 price_) payable {
        price = price_;
        owner = msg.sender;
    }

    function buy() external payable {
        if (msg.value < price) revert TooLittle(price, msg.value);
        sold += 1;
        emit Sold(msg.sender, msg.value);
    }

    function double() external view override returns (uint256) {
        return Prices.twice(price);
    }
}
