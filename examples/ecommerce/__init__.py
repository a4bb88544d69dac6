"""A shop whose orders, returns, stock and customers are event streams; `__main__` replays files of real sales into it."""
