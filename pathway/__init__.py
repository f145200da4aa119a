"""The machine: policy, fold, ledger, flow and store. It knows no broker, web or terminal."""
