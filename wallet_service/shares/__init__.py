"""The second database of the wallet: one secret `S` for each wallet, and nothing else."""
