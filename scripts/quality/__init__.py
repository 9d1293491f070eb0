"""How good the searches are: problems with known optima, optimisers of several houses, one ruler.

    spaces       search spaces described neutrally, for every optimiser to translate
    functions    analytic functions and their minima
    boxes, trees, grids, tables
                 the problems: boxes of numbers, conditional spaces, discrete ones,
                 and cross-validated losses of real learners
    suite        all problems, in two halves
    optimisers   ask and tell, the same for hpo, hyperopt, Optuna and random search
    simulation   one run, one after another or with workers side by side
    runs         what was run already, kept on disk, and what is still missing
    measures     regret, ranks, and how the points lie
    report       the tables, and the targets

Peers run in environments of their own: nothing here needs more than numpy until
an optimiser is asked for.
"""
