"""Steps that look at the network and change its numbers, so that formats keep the accuracy; `Plan` has them."""
