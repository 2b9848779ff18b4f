"""Chroma's directory read in pure Python: nothing here imports chromadb, and nothing is written.

What is known of the directory, found in Chroma 1.5.9's files and sources. Recovery depends on it.

``chroma.sqlite3``, in rollback-journal mode, has the collections, their segments, the rows (ids,
texts, metadata) and the log of writes (``embeddings_queue``). Each collection has two segments, one
for metadata, which is tables of that database, and one for vectors, which is the folder
``<segment id>/`` with the five files of an HNSW graph. ``max_seq_id`` says for each segment up to
which log entry it is on disk.

A write goes so, and a process that dies leaves what was done until then:

1. The entries go into the log, one transaction. Vectors are as the caller gave them.
2. They are applied to the metadata tables and the metadata segment's ``max_seq_id``, one
   transaction.
3. They are applied to the graph in memory. New ids get labels in the order of the log, counted from
   ``total_elements_added``; an id that was deleted and comes back gets a new one.
4. If ``sync_threshold`` entries or more came since the last flush: a flush. In place, without any
   fsync, in this order: ``header.bin``, the changed elements in ``data_level0.bin``, in
   ``length.bin`` and in ``link_lists.bin``, each seeking over what did not change; then
   ``index_metadata.pickle`` is truncated and written anew; then, a transaction of its own, the
   vector segment's ``max_seq_id``.
5. The log is purged below the lesser of the two ``max_seq_id``; the entry of that number stays.

So a vector is in the graph's files, in the log, or in both, and the log has everything that a flush
which was cut short was about to write: what such a flush garbles are older vectors, whose log is
gone. On opening, Chroma applies the log after the vector segment's ``max_seq_id`` again. Without
``index_metadata.pickle``, or with an empty map in it, it takes the folder for new and begins an
empty graph over it (the files are truncated at the first write), while the rows stay: that is how a
missing file makes a search miss nearly everything without any error.

The files of the graph are the memory of hnswlib as it stands (little-endian): ``header.bin``, 100
bytes of numbers; ``data_level0.bin``, for each element its links at level 0, its vector (of unit
length if the space is cosine) and its label; ``length.bin``, for each element the length that its
vector had (only meaningful for cosine: Chroma's ``get`` multiplies by it); ``link_lists.bin``, for
each element the size of its lists of links above level 0, and the lists. ``data_level0.bin`` and
``length.bin`` are longer than needed while there are fewer than a hundred elements. hnswlib checks
nothing of this when it loads them.
"""
