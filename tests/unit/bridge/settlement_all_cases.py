"""All ways to take coins from the reserve that must fail: every module of cases, loaded."""

import settlement_output_cases
import settlement_request_cases
import settlement_set_cases
from settlement_cases import CASES

MODULES = (settlement_output_cases, settlement_request_cases, settlement_set_cases)

__all__ = ["CASES", "MODULES"]
