"""The switches of the translator, one for each optimisation."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """A switch for each optimisation."""
    dead_flags: bool = True     # flags that nobody reads are not computed
    cover: bool = True          # one check for several accesses off one register
    beyond: bool = True         # checks in one block for accesses in those that follow
    anchors: bool = True        # pushes, pops and calls that one check covers go off one address, with offsets
    direct: bool = True         # addresses checked elsewhere in 32 bits, displacements as offsets of loads and stores where the rest is an address
    own_direct: bool = True     # likewise those that are checked by themselves; their check does without the address
    hoist: bool = True          # checks for many rounds of a loop at once
    lanes: bool = True          # lowest lanes of vector registers have locals of their own
    halves: bool = True         # what is done with 32 bits is done with i32
    comparisons: bool = True    # of numbers, numbers are kept, not the flags
    runs: bool = True           # a check remembers which run of pages it found last, and first looks whether it is the same
    wide_runs: bool = True      # also where it is for more bytes, as of a frame on the stack
    structured: bool = True     # control flow from the dominator tree, not all of it over br_table
    nests: bool = True          # loops with one head in common, and those entered at their end, get heads of their own
    direct_calls: bool = True   # calls within a module
    inline: bool = True         # small functions are part of the regions that call them
    pointers: bool = True       # also those called through a pointer at a constant address, as in other libraries
    links: bool = True          # calls and jumps to another module go by what is noted in LINKS
    calls_flags: bool = True    # flags that a function called sets before it reads them are not stored for it
    returns: bool = True        # a copied function looks at its return address once
    stack: bool = True          # the stack pointer is passed from region to region, not by way of memory
    owing: bool = True          # fuel that was used is added up while translating, and taken off where ways meet or leave
    resume: bool = True         # a call that comes back elsewhere is interpreted to its end, and the caller's frame stays
    switches: bool = True       # indirect jumps within a region
    hints: bool = True          # the engine is told which ways are unlikely
    tables: bool = True         # also to where jump tables say
    arms: bool = True           # and by the number of the place there, straight from the jump
    exits: bool = True          # what a region leaves for becomes hot sooner
    bursts: bool = True         # translation pauses only once it took long
    patience: bool = True       # what is in the middle of a region gets one of its own only if it stays hot once that one is there
    templates: bool = True      # what was emitted for an instruction is used again for equal ones
    deferred: bool = True       # exceptions of numbers are looked for several operations at a time
    floats_ahead: bool = True   # MXCSR is not looked at where nothing depends on it before the next call
    loose_floats: bool = True   # exceptions of numbers are not added to MXCSR until the program loads it
    nans: bool = True           # where the engine exchanges operands, the first of two NaNs is taken nevertheless
    nan_groups: bool = True     # then, results that are taken by others are not looked at
