//! What Pointsman itself keeps in a database: machines, images, assignments and the history of boots.
