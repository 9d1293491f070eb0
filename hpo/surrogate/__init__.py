"""Models fitted to values and losses: arrays in, arrays out.

Nothing here knows of documents, expressions or trials, so each piece can be
checked alone against a closed form.

    truncnorm     mass, density and draws of a normal restricted to an interval
    mixture       weighted truncated normals; linear, log and quantised scales
    categorical   probabilities of a finite number of options
    parzen        from observations to a mixture: bandwidths and weights
    split         which trials are good

    joint         one kernel for each trial over all hyperparameters: densities and draws
    joint_fit     such mixtures fitted to trials, several in one pass
    axes          what they know of hyperparameters and configurations
    slots, cells  kernels on discrete axes, integrated over few values or many
    bandwidth     how far a kernel reaches; weights: how much a good trial counts
    products      matrix products that leave the other cores alone
    edges         what a mixture lacks next to a bound
    bandit        which branch of a choice to look into
    smoothing     losses of a noisy objective

    kernels           correlations by distance, with their slopes
    gaussian_process  the posterior: mean, deviation, their gradients; rows that are added
    likelihood        hyperparameters of a kernel, and the likeliest ones
    warping           losses as about normal targets
    acquisition       what is to be gained at a point: EI, PI, UCB and their logarithms
    portfolio         which acquisition decides

    learning_curve    what a training will reach, told from its first epochs
    saved_arrays      what a model has learnt, kept in a directory between runs
"""
