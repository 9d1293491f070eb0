"""Models fitted to values and losses: arrays in, arrays out.

Nothing here knows of documents, expressions or trials, so each piece can be
checked alone against a closed form.

    truncnorm     mass, density and draws of a normal restricted to an interval
    mixture       weighted truncated normals; linear, log and quantised scales
    categorical   probabilities of a finite number of options
    parzen        from observations to a mixture: bandwidths and weights
    split         which trials are good

    kernels           correlations by distance, with their slopes
    gaussian_process  the posterior: mean, deviation, their gradients; rows that are added
    likelihood        hyperparameters of a kernel, and the likeliest ones
    warping           losses as about normal targets
    acquisition       what is to be gained at a point: EI, PI, UCB and their logarithms
    portfolio         which acquisition decides

    learning_curve    what a training will reach, told from its first epochs
    saved_arrays      what a model has learnt, kept in a directory between runs
"""
