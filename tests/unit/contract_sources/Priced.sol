// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

abstract contract Priced {
    function double() external view virtual returns (uint256);
}
