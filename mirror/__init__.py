"""A site's mirror: what it must hold, how that is fetched, carried and brought in, and whether all of it is there.

    needs, carry  ->  fill, bring, check  ->  vouch, contents  ->  folder_commands, site_commands  ->  command

One room for each step; imports go to the right. All of them know the facts beside them: a thing that a mirror holds
(item), the site (site), its systems (systems) and the addresses outside (upstream), and run programs by tools.
site_options describes the options that commands about a site share. Commands about a carried folder need no inventory,
and so neither Ansible nor the controller's environment.
"""
