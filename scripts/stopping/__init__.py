"""What stopping rules save: recorded learning curves, and workers that follow them.

curves        the recorded curves, read from tables/
make_curves   records them: trains every configuration to its end
"""
