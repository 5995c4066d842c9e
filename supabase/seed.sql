-- Made by `bin/admin courses sql` from a course file: edit that, not this.
select public.import_course($course${
 "slug": "reading-maps",
 "title": "Reading Maps",
 "status": "published",
 "author": "The Waymark authors",
 "category": "Outdoors",
 "description": "Learn to look at a sheet of paper and see the ground: what a scale does, how to say where you are, what brown lines tell about your legs, and how to plan a walk that ends before dark.",
 "duration_minutes": 165,
 "badges": [
  "Beginner"
 ],
 "collections": [
  "Outdoor skills"
 ],
 "enrollment_mode": "open",
 "content_access": "enrolled",
 "resources": [
  {
   "title": "OpenStreetMap, a free map of the world",
   "url": "https://www.openstreetmap.org/"
  }
 ],
 "waymark": 1,
 "modules": [
  {
   "slug": "the-sheet",
   "title": "What a map leaves out",
   "description": "A map is useful because it lies a little. Here is how, and how much.",
   "duration_minutes": 30,
   "lessons": [
    {
     "slug": "welcome",
     "title": "Why read a map at all?",
     "type": "video",
     "content": "Your phone shows a dot and a line. That is a fine answer to one question: which way now?\nIt says little about everything else. Is there a gentler way up? Where would I go if the\nweather turned? What is that hill over there?\n\nA map answers questions that you have not asked yet. This course takes about two and a\nhalf hours and needs a pencil, a ruler and, if you can get one, a paper map of a place\nthat you know.\n",
     "video_url": "https://example.com/waymark-demo/welcome.mp4",
     "duration_seconds": 180,
     "is_preview": true
    },
    {
     "slug": "scale",
     "title": "Scale, or how much paper a kilometre gets",
     "type": "article",
     "content": "# Scale\n\nA scale of 1:25,000 says that one of anything on the paper is 25,000 of the same thing on\nthe ground. Take a centimetre: 25,000 centimetres are 250 metres. So on this map\n\n| on the paper | on the ground |\n|---|---|\n| 1 cm | 250 m |\n| 4 cm | 1 km |\n| the width of your thumb, about 2 cm | 500 m |\n\n**The handy rule:** strike two zeros off the scale, and you have the metres in one\ncentimetre. 1:50,000 gives 500 metres, 1:10,000 gives 100.\n\nA *large* scale has a *small* number behind the colon. It sounds the wrong way round until\nyou think of a fraction: a tenth of a cake is more than a fiftieth.\n\n## Try it\n\nMeasure the way from your door to the nearest bakery on a map. Work it out in metres, then\nwalk it and count your steps. Most people take between 1,200 and 1,500 steps a kilometre;\nnow you know your own number, and you will use it in the last module.\n",
     "duration_seconds": 420
    },
    {
     "slug": "symbols",
     "title": "Symbols and the art of leaving out",
     "type": "article",
     "content": "# Symbols\n\nDrawn true to scale at 1:50,000, a road eight metres wide would be 0.16 mm on paper,\nthinner than a pencil line. So the map maker cheats and draws it five times as wide. A\nhouse beside that road would now stand under the tar, so it is moved a little. Then the\nnext one has to move as well.\n\nThree things happen to everything between ground and paper:\n\n1. **It is picked.** Benches are out, churches are in.\n2. **It is made simple.** A stream with forty bends gets twelve.\n3. **It is exaggerated or moved,** so that it can be seen.\n\nThe legend is the list of what was picked. Read it before you need it: whether a dashed\nline means a footpath, a boundary or a railway in a tunnel is good to know *before* you\nfollow it.\n",
     "duration_seconds": 480
    }
   ]
  },
  {
   "slug": "direction",
   "title": "Where am I, and which way is that?",
   "description": "Two numbers for a place, one for a direction.",
   "duration_minutes": 40,
   "lessons": [
    {
     "slug": "north",
     "title": "Three norths",
     "type": "video",
     "content": "There are three norths. **True north** is where the earth's axis comes out. **Grid north**\nis where the vertical lines of the map point. **Magnetic north** is where the needle\npoints, and it wanders by a few tens of kilometres a year.\n\nIn many places the three lie within a few degrees of each other. Being two degrees off\ncosts about 35 metres in a kilometre: enough to miss a hut in fog, not enough to miss a\nvalley. The margin of the map says how large the difference is and how fast it changes.\n",
     "video_url": "https://example.com/waymark-demo/three-norths.mp4",
     "duration_seconds": 300
    },
    {
     "slug": "grid-references",
     "title": "Say it in six figures",
     "type": "article",
     "content": "# Grid references\n\nThe thin lines across the map make squares, usually one kilometre wide. Each line has a\nnumber at the margin. To name a place, go **along the corridor, then up the stairs**:\n\n- the number of the vertical line left of the place, and the tenths from there to it;\n- the number of the horizontal line below the place, and the tenths from there to it.\n\nA place six tenths past line 41 and three tenths above line 87 is `416 873`. Six figures\npin it down to a square of 100 metres: you could shout across it.\n\nThe classic mistake is to swap the two halves. If your reference puts the camp site in the\nlake, that is probably why.\n",
     "duration_seconds": 540
    },
    {
     "slug": "find-it",
     "title": "Find it on a live map",
     "type": "embed",
     "content": "Move around on this map and find, in this order: a railway that climbs a mountain, a lake\nwith a hut beside it, and a glacier. For each, note the nearest place name and guess how\nfar it is from the village, in kilometres. Then check with the scale bar at the bottom.\n",
     "video_url": "https://www.openstreetmap.org/export/embed.html?bbox=7.60%2C45.92%2C7.72%2C46.02&layer=mapnik",
     "duration_seconds": 600
    },
    {
     "slug": "where-quiz",
     "title": "Quiz: places and directions",
     "type": "quiz",
     "content": "Six questions about scales, references and norths. Take it as often as you like: you see\nwhat was right, and why, as soon as you hand it in.\n",
     "duration_seconds": 420,
     "completion_rule": "pass",
     "pass_percent": 70,
     "quiz": {
      "questions": [
       {
        "id": "thumb",
        "text": "A thumb covers 2 cm of a 1:25,000 map. How many **metres** lie under it?",
        "explanation": "Strike two zeros off the scale, and one centimetre is 250 m. Two are 500 m.",
        "kind": "numeric",
        "answer": 500,
        "tolerance": 10
       },
       {
        "id": "larger",
        "text": "Which of these maps has the largest scale?",
        "explanation": "A tenth of a cake is more than a hundredth.",
        "kind": "single_choice",
        "options": [
         {
          "text": "1:10,000",
          "correct": true
         },
         {
          "text": "1:25,000"
         },
         {
          "text": "1:100,000"
         }
        ]
       },
       {
        "id": "corridor",
        "text": "A six-figure reference is made in four steps. In which order?",
        "points": 2,
        "explanation": "Along the corridor, then up the stairs.",
        "kind": "ordering",
        "items": [
         "Read the number of the vertical line to the left.",
         "Count the tenths from that line to the place.",
         "Read the number of the horizontal line below.",
         "Count the tenths from that line up to the place."
        ],
        "scoring": "partial"
       },
       {
        "id": "norths",
        "text": "Which north is which?",
        "points": 2,
        "explanation": "Moss grows where it is damp, whichever side that is.",
        "kind": "matching",
        "pairs": [
         {
          "left": "True north",
          "right": "where the earth's axis comes out"
         },
         {
          "left": "Grid north",
          "right": "where the map's vertical lines point"
         },
         {
          "left": "Magnetic north",
          "right": "where the needle points"
         }
        ],
        "distractors": [
         "where moss grows on trees"
        ],
        "scoring": "partial"
       },
       {
        "id": "fixed",
        "text": "Magnetic north stays where it is for centuries.",
        "explanation": "It wanders by a few tens of kilometres a year. The map's margin says how fast.",
        "kind": "true_false",
        "correct": false
       },
       {
        "id": "lines",
        "text": "What do the margins of a good map tell?",
        "kind": "multiple_choice",
        "options": [
         {
          "text": "how far apart the norths are",
          "correct": true
         },
         {
          "text": "when the map was surveyed",
          "correct": true
         },
         {
          "text": "how the weather will be"
         },
         {
          "text": "what the symbols stand for",
          "correct": true
         }
        ],
        "scoring": "partial"
       }
      ],
      "shuffle_options": true
     }
    }
   ]
  },
  {
   "slug": "shape",
   "title": "The shape of the ground",
   "description": "Reading height out of flat paper.",
   "duration_minutes": 40,
   "lessons": [
    {
     "slug": "contours",
     "title": "Brown lines",
     "type": "article",
     "content": "# Contour lines\n\nImagine the sea rising by ten metres, waiting long enough to leave a dirty edge, and\nrising again. Seen from above, those edges are contour lines: every point on one of them\nhas the same height.\n\nThat is all there is to know, and the rest follows:\n\n- **Close together is steep,** far apart is gentle. Evenly spaced is an even slope.\n- **They never cross.** One place cannot have two heights. (An overhang is the exception\n  that maps leave out.)\n- **A V that points uphill is a valley,** and often a stream runs through its tip. A V that\n  points downhill is a ridge.\n- **Closed rings are tops** or, more rarely, hollows; small ticks on the inside mark those.\n\n## How steep is it?\n\nCount the lines across one centimetre. On a 1:25,000 map with lines every ten metres, five\nlines are 50 metres up in 250 metres along: one in five. That is about as steep as a\ncomfortable path gets. Ten lines are one in two and a half, and you will want your hands\nfree.\n",
     "duration_seconds": 600
    },
    {
     "slug": "slopes-by-hand",
     "title": "Draw the slope",
     "type": "assignment",
     "content": "# Assignment: a cross-section\n\n1. Draw a straight line across your map, about eight centimetres long, over at least one\n   valley and one ridge.\n2. Lay a strip of paper along it. Make a tick wherever a contour line meets its edge, and\n   write the height beside the tick.\n3. On squared paper, put the ticks on the horizontal axis and mark each height above it.\n   Join the marks with a curve.\n\nNow compare. Where did you expect the steepest place before you drew it? Write two\nsentences about what surprised you. This lesson counts double, because the drawing teaches\nmore than any text about it.\n",
     "duration_seconds": 1200,
     "weight": 2
    },
    {
     "slug": "contour-puzzles",
     "title": "Twelve contour puzzles",
     "type": "download",
     "content": "Optional: a sheet with twelve little contour maps and twelve drawn landscapes. Which goes\nwith which? The answers are on the second page, upside down.\n",
     "duration_seconds": 900,
     "is_required": false,
     "resources": [
      {
       "title": "Contour puzzles (PDF, two pages)",
       "url": "https://example.com/waymark-demo/contour-puzzles.pdf",
       "kind": "file"
      }
     ]
    },
    {
     "slug": "slope-quiz",
     "title": "Quiz: the ground on paper",
     "type": "quiz",
     "content": "You have ten minutes and three attempts, each with four questions: two that everybody gets\nand two drawn from a pool. Answers are shown once you have passed.\n",
     "duration_seconds": 480,
     "completion_rule": "pass",
     "pass_percent": 60,
     "quiz": {
      "questions": [
       {
        "id": "steep",
        "text": "On one map, where is the ground steepest?",
        "explanation": "Many lines in little space are many metres up in few metres along.",
        "kind": "single_choice",
        "options": [
         {
          "text": "where the contour lines are closest together",
          "correct": true
         },
         {
          "text": "where the contour lines are farthest apart"
         },
         {
          "text": "where two contour lines cross"
         }
        ]
       },
       {
        "id": "same",
        "text": "What has every point of one contour line in common? Its …",
        "kind": "short_text",
        "accepted": [
         "height",
         "elevation",
         "altitude"
        ]
       },
       {
        "id": "one-in",
        "text": "The path climbs 50 metres over 250 metres along. It rises one metre in how many?",
        "pool": "slopes",
        "kind": "numeric",
        "answer": 5,
        "tolerance": 0.1
       },
       {
        "id": "vee",
        "text": "What does the shape of the lines mean?",
        "pool": "slopes",
        "kind": "matching",
        "pairs": [
         {
          "left": "a V that points uphill",
          "right": "a valley"
         },
         {
          "left": "a V that points downhill",
          "right": "a ridge"
         },
         {
          "left": "closed rings",
          "right": "a top or a hollow"
         }
        ]
       },
       {
        "id": "gentle",
        "text": "Ten-metre lines on a 1:25,000 map. Bring the slopes into order, gentlest first.",
        "pool": "slopes",
        "kind": "ordering",
        "items": [
         "one line in a centimetre",
         "three lines in a centimetre",
         "five lines in a centimetre",
         "ten lines in a centimetre"
        ]
       }
      ],
      "pools": {
       "slopes": 2
      }
     },
     "max_attempts": 3,
     "time_limit_seconds": 600,
     "attempt_cooldown_seconds": 60,
     "reveal_policy": "after_pass"
    }
   ]
  },
  {
   "slug": "the-walk",
   "title": "Plan a walk, then walk it",
   "description": "Putting it together, with a pencil and a watch.",
   "duration_minutes": 40,
   "lessons": [
    {
     "slug": "time",
     "title": "How long will it take?",
     "type": "article",
     "content": "# From distance to time\n\nA simple rule has served walkers for more than a hundred years: **an hour for every five\nkilometres along, plus an hour for every six hundred metres up.**\n\nA path of 8 km with 450 m of climb takes 96 minutes for the way and 45 minutes for the\nheight: 2 hours and 21 minutes of walking. Then be honest. Add ten minutes an hour for\nstops, and more when it is hot, when someone carries a child, or when the path is rough.\n\nWrite down when you will pass three places on the way. If you reach the first one late,\nyou know it while there is time to do something about it. That is the whole point of a\nplan: not that it comes true, but that you notice when it does not.\n",
     "duration_seconds": 480
    },
    {
     "slug": "route-card",
     "title": "A card for your pocket",
     "type": "download",
     "content": "Print the route card and fill it in for a walk of two hours near you: for every leg the\nstart, the direction, the distance, the climb and the time. Leave a copy with somebody who\nstays at home, with the hour after which they should begin to worry.\n",
     "duration_seconds": 900,
     "resources": [
      {
       "title": "Route card to print (PDF)",
       "url": "https://example.com/waymark-demo/route-card.pdf",
       "kind": "file"
      }
     ]
    },
    {
     "slug": "questions",
     "title": "Bring your map, ask your questions",
     "type": "live",
     "content": "An open hour, once a month. Bring the route card of a walk that you have done, and tell us\nwhere the plan and the walk parted ways. Mark this lesson as done when you have been there\nor have watched the recording.\n",
     "video_url": "https://example.com/waymark-demo/live",
     "duration_seconds": 3600
    }
   ]
  }
 ]
}$course$::jsonb);

-- Demo people of the local stack, who sign in with the password "waymark-demo": three learners of
-- the demo course, and admin@example.com, an admin. Never for a project on the internet.

insert into auth.users
  (id, aud, role, email, encrypted_password, email_confirmed_at, confirmation_token,
   recovery_token, email_change, email_change_token_new, raw_app_meta_data, raw_user_meta_data,
   created_at, updated_at)
select d.id, 'authenticated', 'authenticated', d.email,
       extensions.crypt('waymark-demo', extensions.gen_salt('bf', 10)), now(), '', '', '', '',
       jsonb_build_object('provider', 'email', 'providers', '["email"]'::jsonb) || d.claims,
       jsonb_build_object('display_name', d.name, 'timezone', d.zone), now(), now()
  from (values
    ('00000000-0000-4000-8000-000000000001'::uuid, 'ada@example.com', 'Ada Demo',
     'Europe/London', '{}'::jsonb),
    ('00000000-0000-4000-8000-000000000002', 'chandra@example.com', 'Chandra Demo',
     'Asia/Kolkata', '{}'),
    ('00000000-0000-4000-8000-000000000003', 'mary@example.com', 'Mary Demo',
     'America/New_York', '{}'),
    ('00000000-0000-4000-8000-000000000009', 'admin@example.com', 'Admin Demo',
     'UTC', '{"waymark_role": "admin"}')
  ) as d (id, email, name, zone, claims)
    on conflict do nothing;

insert into auth.identities
  (id, provider, provider_id, user_id, identity_data, created_at, updated_at)
select u.id, 'email', u.id::text, u.id,
       jsonb_build_object('sub', u.id, 'email', u.email, 'email_verified', true), now(), now()
  from auth.users u
 where u.id::text like '00000000-0000-4000-8000-00000000000_'
    on conflict do nothing;

-- Supabase's own Auth server looks for the instance; the one of our local stack has no such column.
do $$
begin
  if exists (
    select from information_schema.columns
     where table_schema = 'auth' and table_name = 'users' and column_name = 'instance_id')
  then
    execute $sql$
      update auth.users set instance_id = '00000000-0000-0000-0000-000000000000'
       where instance_id is null and id::text like '00000000-0000-4000-8000-00000000000_'
    $sql$;
  end if;
end
$$;

insert into public.enrollments (user_id, course_id)
select u.id, c.id
  from auth.users u
 cross join public.courses c
 where u.id::text like '00000000-0000-4000-8000-00000000000_'
   and u.raw_app_meta_data ->> 'waymark_role' is null
   and c.slug = 'reading-maps'
    on conflict do nothing;
