"""Models fitted to values and losses: arrays in, arrays out.

Nothing here knows of documents, expressions or trials, so each piece can be
checked alone against a closed form.

    truncnorm     mass, density and draws of a normal restricted to an interval
    mixture       weighted truncated normals; linear, log and quantised scales
    categorical   probabilities of a finite number of options
    parzen        from observations to a mixture: bandwidths and weights
    split         which trials are good
"""
